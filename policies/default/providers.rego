# METADATA
# title: Providers that become older are said
# description: An older provider may not know what a newer one wrote; the state's schema is checked apart.
# custom:
#   level: advisory
package rollback.providers

import rego.v1

warn contains msg if {
	some provider in input.rollback.providers
	provider.downgrade
	not provider.kept
	msg := sprintf("provider %s goes back from %s to %s", [provider.source, provider.from, provider.to])
}
