//! A function's role in template.yaml: every statement that applies to it.

use anyhow::Context as _;
use serde_json::Value;

use crate::aws::cloudformation::DeployedStack;
use crate::aws::iam::{Access, Statement};

/// A role, and the function that has it.
pub struct Role {
    /// The statements of the role's own policies and of the keys' policies.
    pub statements: Vec<Statement>,
    function: String,
}

impl Role {
    /// Reads the role `role` of the function `function` from a template.
    ///
    /// # Errors
    /// If the template has neither, or a policy uses something that is not supported.
    pub fn of(template: &DeployedStack, role: &str, function: &str) -> anyhow::Result<Self> {
        let mut statements = own_statements(template, role)?;
        let principal = template.arn(role)?;
        for key in template.of_type("AWS::KMS::Key")? {
            let policy = &template.properties(key)?["KeyPolicy"];
            let arn = template.arn(key)?;
            let of_key = Statement::all(policy, Some(&principal))?;
            statements.extend(of_key.into_iter().map(|statement| statement.on(&arn)));
        }
        Ok(Self { statements, function: function_arn(template, function)? })
    }

    /// Returns an access as IAM sees it if the role's function asks for it.
    #[must_use]
    pub fn used_by_function(&self, access: Access) -> Access {
        used_by(access, &self.function)
    }
}

/// Returns an access as IAM sees it if the function with this ARN asks for it.
#[must_use]
pub fn used_by(mut access: Access, function: &str) -> Access {
    access.context.insert("lambda:SourceFunctionArn".into(), vec![function.to_owned()]);
    access
}

/// Returns the statements of a role's own policies.
///
/// # Errors
/// If the template has no such role, or a policy uses something that is not supported.
pub fn own_statements(template: &DeployedStack, role: &str) -> anyhow::Result<Vec<Statement>> {
    let mut statements = Vec::new();
    let properties = template.properties(role)?;
    for policy in properties["Policies"].as_array().context("a list")? {
        statements.extend(Statement::all(&policy["PolicyDocument"], None)?);
    }
    Ok(statements)
}

fn function_arn(template: &DeployedStack, id: &str) -> anyhow::Result<String> {
    let properties: Value = template.properties(id)?;
    let name = properties["FunctionName"].as_str().context("a name")?;
    Ok(format!("arn:aws:lambda:us-east-1:000000000000:function:{name}"))
}
