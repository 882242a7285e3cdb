//! The file of passwords that PostgreSQL's own clients read: `hostname:port:database:username:password`, `*` for any, `\` before
//! a `:` or `\` that is meant (PostgreSQL's documentation, "The Password File").

use std::path::{Path, PathBuf};

/// Whom a password is for.
pub(super) struct Account<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// `$PGPASSFILE`, else `~/.pgpass`.
pub(super) fn path() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
    match named {
        Some(path) => Some(path.into()),
        None => Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass")),
    }
}

/// The first password that fits; `None` too where there is no such file.
///
/// # Errors
/// It can be read by others: like psql, we do not take a password from it then.
pub(super) fn password(path: &Path, account: &Account<'_>) -> Result<Option<String>, String> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(None);
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "{} can be read by others, so that no password is taken from it: chmod 600 it",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(find(&text, account))
}

fn find(text: &str, account: &Account<'_>) -> Option<String> {
    let port = account.port.to_string();
    // A socket in the usual folder is called localhost there.
    let host = if account.host.starts_with('/') {
        "localhost"
    } else {
        account.host
    };
    let wanted = [host, &port, account.database, account.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [given @ .., password] = fields.as_slice() else {
            return None;
        };
        let fits = given.len() == wanted.len()
            && given
                .iter()
                .zip(wanted)
                .all(|(given, wanted)| given == "*" || given == wanted);
        fits.then(|| password.clone())
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.extend_last(characters.next()),
            other => fields.extend_last(Some(other)),
        }
    }
    fields
}

trait ExtendLast {
    fn extend_last(&mut self, character: Option<char>);
}

impl ExtendLast for Vec<String> {
    fn extend_last(&mut self, character: Option<char>) {
        if let (Some(last), Some(character)) = (self.last_mut(), character) {
            last.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let account = Account {
            host: "db.example.com",
            port: 5432,
            database: "shop",
            user: "watcher",
        };
        let text = "# a:b:c:d:e\nother:5432:shop:watcher:no\ndb.example.com:*:shop:watcher:a\\:b\\\\c\n*:*:*:*:late";
        assert_eq!(find(text, &account).as_deref(), Some("a:b\\c"));
        assert_eq!(find("db.example.com:5433:*:*:no", &account), None);
        assert_eq!(
            find("garbage\n::::\n*:*:*:watcher:p:q", &account).as_deref(),
            Some("p:q")
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:secret").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let account = Account {
            host: "h",
            port: 1,
            database: "d",
            user: "u",
        };
        assert!(password(file.path(), &account).unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(file.path(), &account).unwrap().as_deref(), Some("secret"));
    }
}
