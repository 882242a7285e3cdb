//! `completions` and `man`.

use clap::CommandFactory;
use rollback_engine::error::Result;

use crate::arguments::Arguments;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "infra-rollback", &mut std::io::stdout());
    Ok(())
}

/// Prints the manual page, subcommands and all.
pub fn man() -> Result<()> {
    let command = Arguments::command();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for subcommand in command.get_subcommands() {
        let named = subcommand
            .clone()
            .name(format!("infra-rollback-{}", subcommand.get_name()));
        clap_mangen::Man::new(named).render(&mut page)?;
    }
    std::io::Write::write_all(&mut std::io::stdout(), &page)?;
    Ok(())
}
