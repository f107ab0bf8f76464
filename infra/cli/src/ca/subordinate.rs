//! `birthcert ca subordinate`: request, certify and activate on one machine.

use birthcert::authority::AuthorityRecord;

use super::{
    activate::{Distribution, activate},
    certify::Certification,
    naming::Naming,
    request::{Key, make_request},
};
use crate::Context;

#[derive(clap::Args)]
pub(crate) struct SubordinateCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    certification: Certification,
    #[command(flatten)]
    distribution: Distribution,
}

impl SubordinateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { naming, key, certification, distribution } = self;
        let request = make_request(context, &naming, &key).await?;
        let (certificate_pem, root) =
            certification.certify(&naming, &request.csr_pem, context.now)?;
        let record = AuthorityRecord {
            name: naming.usage.name().into(),
            key_arn: request.key_arn,
            certificate_pem,
            root_pem: root.certificate().pem().to_owned(),
            crl_url: distribution.crl_url,
            created_at: context.now,
        };
        activate(context, naming.usage, record).await
    }
}
