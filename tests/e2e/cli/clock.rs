//! An operator's clock that is wrong. AWS does not notice: the SDK corrects its signatures.

use anyhow::ensure;

use super::setup::start;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_wrong_clock_changes_nothing,
        a_wrong_clock_reads_with_a_warning,
        a_clock_before_the_certificate_does_not_skip_its_renewal,
    ]
}

async fn a_wrong_clock_changes_nothing() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let (device, identity) = stack.new_device().await?;
    operator.done("broker issue --dns a.example --directory b").await?;
    let before = operator.files()?;
    let signed = stack.signed_except_crls().await?;
    let (id, serial) = (device.device_id, identity.serial_number);
    for change in [
        format!("device revoke {id} --reason keyCompromise --yes"),
        format!("device revoke {id} --serial {serial} --reason keyCompromise --yes"),
        format!("device delete {id} --yes"),
        format!("device disable {id}"),
        "broker revoke a.example --reason keyCompromise --yes".into(),
        "broker renew --directory b --within 400d".into(),
        "broker issue --dns b.example --directory c".into(),
        "broker config aws-iot --output-directory d".into(),
        "project create --name late".into(),
        "token create".into(),
        "crl publish".into(),
        "ca retire device --yes".into(),
    ] {
        let fast = ["this machine's clock is 3 h fast", "nothing was changed", "timedatectl"];
        operator.run_at("+3h", &change).await?.refused(4, &fast)?;
    }
    let slow = ["this machine's clock is 1 d 23 h", "slow: it says 20", "AWS says 20"];
    operator.run_at("-172700", "crl publish").await?.refused(4, &slow)?;
    ensure!(operator.files()? == before, "files were changed");
    ensure!(stack.signed_except_crls().await? == signed, "something was signed");
    let shown = operator.json(&format!("device show {id}")).await?;
    ensure!(shown["status"] == "active", "{shown}");
    ensure!(!operator.done("project list").await?.contains("late"));

    // Minutes do not matter.
    operator.run_at("+2m", &format!("device revoke {id} --yes")).await?.done()?;
    let shown = operator.json(&format!("device show {id}")).await?;
    ensure!(shown["status"] == "revoked", "{shown}");
    stack.stop().await
}

async fn a_wrong_clock_reads_with_a_warning() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    for read in ["device list", "project list", "token list", "ca show device", "broker list"] {
        let read_at = operator.run_at("+3h", read).await?;
        ensure!(read_at.code() == Some(0), "{read}: {}", read_at.stderr());
        let warning = "Warning: this machine's clock is 3 h fast: ";
        ensure!(read_at.stderr().matches(warning).count() == 1, "{read}: {}", read_at.stderr());
        ensure!(read_at.stdout() == operator.done(read).await?, "{read}");
    }
    stack.stop().await
}

async fn a_clock_before_the_certificate_does_not_skip_its_renewal() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    operator.done("broker issue --dns a.example --directory b").await?;
    operator.done("broker renew --directory b").await?;
    let words = ["this machine's clock is 60 d slow"];
    operator.run_at("-60d", "broker renew --directory b").await?.refused(4, &words)?;
    stack.stop().await
}
