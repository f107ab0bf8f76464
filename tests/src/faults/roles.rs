//! The roles of the functions, against which their calls are held.

use std::collections::BTreeMap;

use crate::aws::iam::{self, Access, Keys, role};
use crate::aws::proxy::Call;
use crate::aws::template;
use crate::faults::bucket::BUCKET;
use crate::faults::config::TABLE;
use crate::faults::function::Role;

/// The roles of the functions in template.yaml.
pub(super) struct Roles {
    keys: Keys,
    roles: BTreeMap<Role, role::Role>,
}

impl Roles {
    /// Reads the roles; the device CA has the key `key_arn`.
    ///
    /// # Errors
    /// If template.yaml cannot be read.
    pub(super) fn of_template(key_arn: &str) -> anyhow::Result<Self> {
        let parameters = BTreeMap::from([("TableName".into(), TABLE.into())]);
        let mut template = template::ours(parameters)?;
        template.physical_ids.insert("Bucket".into(), BUCKET.into());
        let keys = Keys::from([(key_arn.to_owned(), template.arn("DeviceKey")?)]);
        let roles = [
            (Role::Enroll, "EnrollRole", "EnrollFunction"),
            (Role::Identity, "IdentityRole", "IdentityFunction"),
            (Role::Crl, "CrlRole", "CrlFunction"),
        ];
        let roles = roles
            .into_iter()
            .map(|(role, name, function)| Ok((role, role::Role::of(&template, name, function)?)));
        Ok(Self { keys, roles: roles.collect::<anyhow::Result<_>>()? })
    }

    /// Returns the permission for a call to KMS.
    ///
    /// # Errors
    /// If the call names no key.
    pub(super) fn of_kms(&self, call: &Call) -> anyhow::Result<Access> {
        Access::of_kms(call, &self.keys)
    }

    /// Returns true if a role grants an access to its function.
    pub(super) fn allow(&self, role: Role, access: &Access) -> bool {
        let role = &self.roles[&role];
        iam::allows(&role.statements, &role.used_by_function(access.clone()))
    }
}
