//! `completions` and `man`.

use clap::CommandFactory;
use rollback_engine::error::Result;

use crate::arguments::Arguments;
use crate::output::Output;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell, output: &Output) -> Result<()> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "infra-rollback", &mut script);
    output.bytes(&script)?;
    Ok(())
}

/// Prints the manual page, subcommands and all.
pub fn man(output: &Output) -> Result<()> {
    let command = Arguments::command();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands() {
        let named = subcommand
            .clone()
            .name(format!("infra-rollback-{}", subcommand.get_name()));
        clap_mangen::Man::new(named).render(&mut page)?;
    }
    output.bytes(&page)?;
    Ok(())
}
