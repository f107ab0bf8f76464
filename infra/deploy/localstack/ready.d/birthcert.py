"""Deploys birthcert's table and CA keys from template.yaml into LocalStack.

LocalStack runs this file once it is ready, because the file is in /etc/localstack/init/ready.d. It is written
in Python because LocalStack is: its interpreter always has boto3 and a YAML parser.

Leaves out the resources that LocalStack does not run, and changes nothing else: see `stateful_part`. The
command `python birthcert.py template.yaml` only prints the template that would be deployed.
"""

import json
import os
import re
import sys

import boto3
import yaml

# Resources with state. Of the others, only those that these refer to are deployed.
STATEFUL = {"AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::KMS::Alias"}
# CloudFormation's short forms whose long form has no prefix "Fn::".
PLAIN = {"Ref", "Condition"}
STACK = "birthcert"


class TemplateLoader(yaml.SafeLoader):
    """Converts CloudFormation's short forms, such as !GetAtt, to their long forms."""

    def intrinsic(self, name, node):
        if isinstance(node, yaml.ScalarNode):
            value = self.construct_scalar(node)
            if name == "GetAtt":
                value = value.split(".", 1)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            value = self.construct_mapping(node, deep=True)
        return {name if name in PLAIN else f"Fn::{name}": value}


TemplateLoader.add_multi_constructor("!", TemplateLoader.intrinsic)


def references(node):
    """Yields the names of the parameters and resources that a part of a template refers to."""
    if isinstance(node, list):
        for element in node:
            yield from references(element)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "DependsOn":
                yield from [value] if isinstance(value, str) else value
            elif key == "Fn::GetAtt":
                yield value.split(".")[0] if isinstance(value, str) else value[0]
            elif key == "Fn::Sub":
                text, variables = (value, {}) if isinstance(value, str) else value
                names = re.findall(r"\$\{([A-Za-z0-9:]+)", text)
                yield from (name for name in names if name not in variables)
                yield from references(variables)
            else:
                yield from references(value)


def stateful_part(template):
    """Returns the template reduced to the table, the keys, the aliases, what they need, and their outputs.

    These parts, the parameters and the conditions are unchanged.
    """
    resources = template["Resources"]
    given = set(template["Parameters"])

    def needs(node):
        return {n for n in references(node) if n not in given and not n.startswith("AWS::")}

    kept = set()
    wanted = {name for name, resource in resources.items() if resource["Type"] in STATEFUL}
    while wanted:
        name = wanted.pop()
        if name not in resources:
            raise ValueError(f"the template refers to {name}, but does not define it")
        if resources[name]["Type"].startswith("AWS::Serverless::"):
            raise ValueError(f"a table or key needs {name}, which LocalStack does not run")
        kept.add(name)
        wanted |= needs(resources[name]) - kept

    outputs = template["Outputs"]
    return template | {
        "Resources": {name: body for name, body in resources.items() if name in kept},
        "Outputs": {name: body for name, body in outputs.items() if needs(body) <= kept},
    }


def read(path, **form):
    with open(path, encoding="utf-8") as file:
        return json.dumps(stateful_part(yaml.load(file, TemplateLoader)), **form)


def deploy():
    # Importable only when LocalStack runs this file.
    from localstack import config

    path = os.environ.get("BIRTHCERT_TEMPLATE", "/etc/birthcert/template.yaml")
    table = os.environ.get("BIRTHCERT_TABLE", "birthcert")
    cloudformation = boto3.client(
        "cloudformation",
        endpoint_url=config.internal_service_url(),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    cloudformation.create_stack(
        StackName=STACK,
        # Without white space: a larger body than 51,200 bytes must come from S3.
        TemplateBody=read(path, separators=(",", ":")),
        Parameters=[{"ParameterKey": "TableName", "ParameterValue": table}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    try:
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except Exception as error:
        events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        ]
        raise RuntimeError(f"creating the stack {STACK} failed: {'; '.join(failed) or error}") from error
    print(f"birthcert: created the table {table} and the CA keys", flush=True)


# When LocalStack runs this file, the name differs.
if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: birthcert.py TEMPLATE")
    print(read(sys.argv[1], indent=2))
else:
    deploy()
