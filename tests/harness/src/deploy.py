"""Deploys template.yaml into moto's CloudFormation and says what has come of it, as JSON on standard output.

    deploy.py translate TEMPLATE ARCHITECTURE       SAM's own translator: what CloudFormation is given
    deploy.py create MOTO_URL PARAMETERS < JSON     moto's CloudFormation: what is there afterwards
    deploy.py zip FILE                              how large a file is as Lambda is given it

Run by `harness::deployed`; it decides nothing: what has to be there is the test's to say.
"""

import json
import sys


def translate(path, architecture):
    from samtranslator.translator.transform import transform
    from samtranslator.yaml_helper import yaml_parse

    class ManagedPolicies:
        def load(self):
            names = ["AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSLambdaSQSQueueExecutionRole"]
            return {name: "arn:aws:iam::aws:policy/service-role/" + name for name in names}

    with open(path) as file:
        template = yaml_parse(file.read())
    # What `sam package` does with the folder that was built.
    template["Globals"]["Function"]["CodeUri"] = "s3://artefacts/code.zip"
    template["Globals"]["Function"]["Architectures"] = [architecture]
    parameters = {name: one.get("Default", "") for name, one in template["Parameters"].items()}
    parameters["AWS::Region"] = "us-east-1"
    json.dump(transform(template, parameters, ManagedPolicies()), sys.stdout)


def create(url, parameters):
    import ast
    import io
    import zipfile

    import boto3

    def aws(service):
        return boto3.client(
            service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
        )

    def read(document):
        # moto gives policies of a template back as Python would write them.
        return ast.literal_eval(document) if isinstance(document, str) else document

    stack = "deployed"
    body = sys.stdin.read()
    template = json.loads(body)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bootstrap", "")
    aws("s3").create_bucket(Bucket="artefacts")
    aws("s3").put_object(Bucket="artefacts", Key="code.zip", Body=code.getvalue())
    aws("cloudformation").create_stack(
        StackName=stack,
        TemplateBody=body,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in json.loads(parameters).items()],
    )
    made = aws("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    resources = aws("cloudformation").list_stack_resources(StackName=stack)["StackResourceSummaries"]
    physical = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
    sqs, iam, functions = aws("sqs"), aws("iam"), aws("lambda")
    found = {"status": made["StackStatus"], "queues": {}, "functions": {}, "schedules": {}, "resources": {}}
    found["outputs"] = {one["OutputKey"]: one["OutputValue"] for one in made.get("Outputs", [])}
    for name, one in template["Resources"].items():
        kind = one["Type"]
        counts = found["resources"].setdefault(kind, [0, 0])
        counts[0] += 1
        counts[1] += name in physical
        if name not in physical:
            continue
        if kind == "AWS::SQS::Queue":
            attributes = sqs.get_queue_attributes(QueueUrl=physical[name], AttributeNames=["All"])["Attributes"]
            found["queues"][name] = {"url": physical[name], **attributes}
        elif kind == "AWS::Lambda::Function":
            function = functions.get_function(FunctionName=physical[name])["Configuration"]
            role = function["Role"].split("/")[-1]
            allowed = []
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
                allowed += read(document)["Statement"]
            trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
            found["functions"][name] = {
                "told": function["Environment"]["Variables"],
                "name": physical[name],
                "role": role,
                "trusts": read(trust)["Statement"],
                "allowed": allowed,
                "timeout": function["Timeout"],
                "runtime": function["Runtime"],
                "architectures": function["Architectures"],
            }
        elif kind == "AWS::Scheduler::Schedule":
            found["schedules"][name] = one["Properties"]["Target"]
    found["readers"] = []
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        found["readers"].append([mapping["EventSourceArn"], mapping["FunctionArn"].split(":")[-1], mapping["BatchSize"]])
        # moto would feed messages to a function that it cannot run, and take them for done.
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    json.dump(found, sys.stdout)


def size(path):
    import io
    import zipfile

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "bootstrap")
    print(len(archive.getvalue()))


if __name__ == "__main__":
    {"translate": translate, "create": create, "zip": size}[sys.argv[1]](*sys.argv[2:])
