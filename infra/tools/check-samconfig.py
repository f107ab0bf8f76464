"""Checks that samconfig.toml only sets parameters of template.yaml, to values that they accept.

SAM does not check this: CloudFormation would refuse the deployment later.
"""

import re
import sys

import tomlkit
from samcli.yamlhelper import yaml_parse

with open("template.yaml", encoding="utf-8") as file:
    parameters = yaml_parse(file.read())["Parameters"]
with open("samconfig.toml", encoding="utf-8") as file:
    environments = tomlkit.load(file).unwrap()

faults = []
for environment, commands in environments.items():
    if environment == "version":
        continue
    for override in commands.get("deploy", {}).get("parameters", {}).get("parameter_overrides", []):
        name, _, value = override.partition("=")
        parameter = parameters.get(name)
        if parameter is None:
            faults.append(f"{environment}: template.yaml has no parameter {name}")
        elif value not in map(str, parameter.get("AllowedValues", [value])):
            faults.append(f"{environment}: {name} does not accept {value}")
        elif not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
            faults.append(f"{environment}: {name} does not accept {value}")
        elif parameter["Type"] == "Number" and not (
            parameter.get("MinValue", 0) <= float(value) <= parameter.get("MaxValue", float("inf"))
        ):
            faults.append(f"{environment}: {name} is out of range")
sys.exit("\n".join(faults) or 0)
