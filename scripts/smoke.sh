#!/bin/sh
# After a deployment: what can only be seen on AWS, from outside, in a minute. Changes nothing.
#
#   scripts/smoke.sh STACK [REGION]          needs the AWS CLI; OPERATOR_TOKEN adds the checks behind the token
#
# One line per check; exits with the number of those that failed.
set -u
stack=${1:?usage: scripts/smoke.sh STACK [REGION]}
region=${2:-us-east-1}
failed=0

check() { # check WHAT EXPECTED FOUND
    if [ "$2" = "$3" ]; then echo "ok    $1"; else echo "FAIL  $1: expected $2, found $3"; failed=$((failed + 1)); fi
}
output() {
    aws cloudformation describe-stacks --stack-name "$stack" --region "$region" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue"
}
status() { curl -s -o /dev/null -w '%{http_code}' --max-time 30 "$@"; }

api=$(output ApiUrl)
[ -n "$api" ] || { echo "FAIL  the stack $stack in $region has no output ApiUrl"; exit 1; }

check "health answers" 200 "$(status "$api/api/health")"
check "the database answers, and its schema is new enough" 200 "$(status "$api/api/health/ready")"
check "the description is served" 200 "$(status "$api/openapi.json")"
check "without a token nothing is shown" 401 "$(status "$api/api/v1/inventory")"
check "a forged token is refused" 401 "$(status -H 'Authorization: Bearer eyJhbGciOiJub25lIn0.e30.' "$api/api/v1/inventory")"
check "an unknown path is a 404" 404 "$(status "$api/no/such/path")"
preflight=$(status -X OPTIONS -H 'Origin: https://nobody.example' -H 'Access-Control-Request-Method: GET' "$api/api/v1/inventory")
check "OPTIONS reaches the function" 200 "$preflight"
origin=$(curl -s -o /dev/null -D - --max-time 30 -H 'Origin: https://nobody.example' "$api/api/health" | grep -ci '^access-control-allow-origin')
check "a foreign origin is not let in" 0 "$origin"
if [ -n "${OPERATOR_TOKEN:-}" ]; then
    check "the operator sees the inventory" 200 "$(status -H "Authorization: Bearer $OPERATOR_TOKEN" "$api/api/v1/inventory?limit=1")"
    check "the operator sees the listings" 200 "$(status -H "Authorization: Bearer $OPERATOR_TOKEN" "$api/api/v1/listings")"
fi

# A worker, with its own role, secrets and way out: what no test off AWS can show.
answer=$(mktemp)
error=$(aws lambda invoke --function-name "$(output ProjectsFunction)" --region "$region" --cli-binary-format raw-in-base64-out \
    --payload '{}' --query FunctionError --output text "$answer")
check "sync-projects runs" None "$error"
[ "$error" = None ] || cat "$answer"
rm -f "$answer"

for queue in MissedTicksUrl FailedRunsUrl IngestDeadLettersUrl; do
    waiting=$(aws sqs get-queue-attributes --queue-url "$(output $queue)" --region "$region" --output text \
        --attribute-names ApproximateNumberOfMessages --query Attributes.ApproximateNumberOfMessages)
    check "$queue is empty" 0 "$waiting"
done
paused=$(aws scheduler list-schedules --region "$region" --state DISABLED --output text \
    --query "length(Schedules[?contains(Target.Arn, ':function:$stack-')])")
check "no schedule is paused" 0 "$paused"
mapping=$(aws lambda list-event-source-mappings --region "$region" --output text --query 'EventSourceMappings[0].State' \
    --event-source-arn "$(aws sqs get-queue-attributes --region "$region" --output text --attribute-names QueueArn \
        --queue-url "$(output IngestQueueUrl)" --query Attributes.QueueArn)")
check "ingest-invoice reads its queue" Enabled "$mapping"
alarming=$(aws cloudwatch describe-alarms --region "$region" --alarm-name-prefix "$stack-" --state-value ALARM \
    --query 'length(MetricAlarms)' --output text)
check "no alarm is on (the age of data takes an hour to settle)" 0 "$alarming"
exit $failed
