//! Prompts and notes for an operator at a terminal.

use anyhow::ensure;
use birthcert_tests::operator::{Operator, PASSPHRASE};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_passphrase_is_asked_for_and_not_shown,
        irreversible_changes_are_confirmed_first,
        long_commands_show_their_progress,
    ]
}

async fn a_passphrase_is_asked_for_and_not_shown() -> anyhow::Result<()> {
    const MAKE: &str = "ca root --directory root --yes";
    let operator = Operator::offline()?;
    let mut terminal = operator.at_terminal(MAKE)?;
    terminal.shows("New passphrase for the root's key: ").await?;
    terminal.is_silent().await?;
    terminal.enters(PASSPHRASE).await?;
    terminal.shows("Repeat the passphrase: ").await?;
    terminal.is_silent().await?;
    terminal.enters("correct horse battery stable").await?;
    let (code, shown) = terminal.ended().await?;
    ensure!(code == 1 && shown.contains("the two passphrases differ"), "{code}: {shown}");
    ensure!(!operator.path("root/root-key.pem").exists(), "a root all the same");

    let mut terminal = operator.at_terminal(MAKE)?;
    for prompt in ["New passphrase for the root's key: ", "Repeat the passphrase: "] {
        terminal.shows(prompt).await?;
        terminal.is_silent().await?;
        terminal.enters(PASSPHRASE).await?;
    }
    let (code, shown) = terminal.ended().await?;
    ensure!(code == 0 && shown.contains("root/root.pem"), "{code}: {shown}");
    ensure!(!shown.contains("horse"), "the passphrase was shown: {shown}");
    let list = "ca root-crl --root root --passphrase-file passphrase --yes";
    operator.done(list).await.map(drop)
}

async fn irreversible_changes_are_confirmed_first() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = super::setup::start().await?;
    let (device, _) = stack.new_device().await?;
    let id = device.device_id;
    let delete = format!("device delete {id}");
    let question = format!("About to revoke and delete {id}. Continue? [y/N] ");

    let mut terminal = operator.at_terminal(&delete)?;
    terminal.shows(&question).await?;
    terminal.enters("").await?;
    let (code, shown) = terminal.ended().await?;
    ensure!(code == 4 && shown.contains("nothing was done"), "{code}: {shown}");
    let status = operator.json(&format!("device show {id}")).await?["status"].clone();
    ensure!(status == "active", "{status}");

    let mut terminal = operator.at_terminal(&delete)?;
    terminal.shows(&question).await?;
    terminal.enters("yes").await?;
    let (code, shown) = terminal.ended().await?;
    ensure!(code == 0, "{code}: {shown}");
    let shown = operator.done(&format!("device show {id}")).await?;
    ensure!(shown.contains("deleted"), "{shown}");
    Ok(())
}

async fn long_commands_show_their_progress() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = super::setup::start().await?;
    for _ in 0..3 {
        stack.new_device().await?;
    }
    let revoke = "device revoke --token";
    let token = stack.token().subject();
    let (code, shown) = operator.at_terminal(&format!("{revoke} {token} --yes"))?.ended().await?;
    ensure!(code == 0, "{code}: {shown}");
    for word in ["of 3 devices", "revoked: 3 devices"] {
        ensure!(shown.contains(word), "no {word:?}: {shown:?}");
    }
    // Without a terminal, no progress is shown.
    let again = operator.done(&format!("{revoke} {token} --yes")).await?;
    ensure!(!again.contains('\r') && !again.contains('\u{1b}'), "{again:?}");
    Ok(())
}
