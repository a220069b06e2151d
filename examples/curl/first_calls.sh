#!/usr/bin/env bash
# A call, a stream and a receipt, with nothing but curl. GOTOAI_KEY: a key from `gotoai keys create`.
set -euo pipefail
url=${GOTOAI_URL:-http://127.0.0.1:8080}
auth="Authorization: Bearer ${GOTOAI_KEY:?set it to a key from: gotoai keys create --name examples}"
json='Content-Type: application/json'
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT

echo '# A call'
curl -sS --fail-with-body -D "$headers" "$url/v1/chat/completions" -H "$auth" -H "$json" -d '{
  "model": "gpt-4o-mini",
  "messages": [{"role": "user", "content": "Hello"}]
}'

echo; echo '# Its receipt, in the headers'
grep -i '^x-gotoai-' "$headers"

echo '# The whole receipt'
order=$(sed -n 's/^x-gotoai-order: *\([a-z0-9_]*\).*/\1/Ip' "$headers")
curl -sS --fail-with-body "$url/v1/orders/$order" -H "$auth"

echo; echo '# A stream'
curl -sSN --fail-with-body "$url/v1/chat/completions" -H "$auth" -H "$json" -d '{
  "model": "gpt-4o-mini",
  "messages": [{"role": "user", "content": "Hello"}],
  "stream": true,
  "stream_options": {"include_usage": true}
}'
