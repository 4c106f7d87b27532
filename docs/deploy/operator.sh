#!/usr/bin/env bash
# Brings up everything that a deployment has, in one folder and without containers, uses it, and takes it down:
# Postgres, an S3 server, a certificate, sign-in by JWT, a hook, and the server. Prints the seconds of each step.
#
#   docs/deploy/operator.sh [FOLDER]
#
# It wants: upload-server (built with `--features s3`), curl, openssl, python3, Debian's `postgresql`, and
# one S3 server: `garage`, which the variable GARAGE may name, or the variables S3_ENDPOINT, S3_BUCKET, S3_REGION, AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY. With Python's `tuspy` it uploads by that client as well.
set -euo pipefail

folder=$(realpath "${1:-$(mktemp -d)}")
server=${UPLOAD_SERVER_BINARY:-upload-server}
mkdir -p "$folder" && chmod 755 "$folder" && cd "$folder"

begun=$(date +%s.%N)
step() {
  local now
  now=$(date +%s.%N)
  [ -z "${name:-}" ] || printf '%-46s %6.2f s\n' "$name" "$(echo "$now - $since" | bc)"
  name=$1 since=$now
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
wait_for() { for _ in $(seq 300); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; echo "gave up: $*" >&2; return 1; }
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null && wait "$pid" 2> /dev/null || true; done
  [ ! -d database ] || as_postgres "$postgres/pg_ctl" --pgdata database stop --mode immediate > /dev/null || true
}
trap finish EXIT

step 'a certificate for localhost'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 -subj /CN=localhost \
  -config <(printf '[req]\ndistinguished_name = name\n[name]\n') \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out certificate.pem 2> /dev/null
chmod 600 key.pem

step 'Postgres: a new database'
postgres=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb | tail -1)")
database_port=$(free_port)
mkdir database && chmod 700 database
[ "$(id -u)" != 0 ] || chown postgres database
as_postgres "$postgres/initdb" --pgdata database --auth trust --username upload > /dev/null
as_postgres "$postgres/pg_ctl" --pgdata database --log database/log --wait start \
  --options "-p $database_port -h 127.0.0.1 -k ''" > /dev/null
psql --quiet --host 127.0.0.1 --port "$database_port" --username upload postgres --command 'CREATE DATABASE upload'

step 'S3: a bucket'
if [ -z "${S3_ENDPOINT:-}" ]; then
  export S3_BUCKET=documents S3_REGION=garage
  export AWS_ACCESS_KEY_ID=GK31c2f218a2e44f485b94239e
  AWS_SECRET_ACCESS_KEY=$(openssl rand -hex 32)
  export AWS_SECRET_ACCESS_KEY
  s3_port=$(free_port)
  S3_ENDPOINT=http://127.0.0.1:$s3_port
  cat > garage.toml << TOML
metadata_dir = "$folder/s3/meta"
data_dir = "$folder/s3/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$(free_port)"
rpc_secret = "$(openssl rand -hex 32)"

[s3_api]
s3_region = "$S3_REGION"
api_bind_addr = "127.0.0.1:$s3_port"
TOML
  GARAGE_DEFAULT_ACCESS_KEY=$AWS_ACCESS_KEY_ID GARAGE_DEFAULT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
    GARAGE_DEFAULT_BUCKET=$S3_BUCKET "${GARAGE:-garage}" -c garage.toml server --single-node --default-bucket 2> s3.log &
  pids+=($!)
fi
# Only gets, so what is signed is the hash of no content; older versions of curl do not send it.
nothing=$(printf '' | openssl dgst -sha256 -r | cut -d ' ' -f 1)
s3() {
  curl --silent --fail --aws-sigv4 "aws:amz:$S3_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    --header "x-amz-content-sha256: $nothing" "$@"
}
wait_for s3 "$S3_ENDPOINT/$S3_BUCKET?list-type=2"

step 'a backend that hooks call'
hook_port=$(free_port)
cat > backend.py << PYTHON
import http.server

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open("calls.jsonl", "ab") as calls:
            calls.write(body + b"\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", $hook_port), Hook).serve_forever()
PYTHON
python3 backend.py &
pids+=($!)

step 'a configuration, and its check'
port=$(free_port) admin_port=$(free_port)
jwt_secret=$(openssl rand -hex 32)
umask 077
cat > uploads.toml << TOML
listen = "127.0.0.1:$port"
admin_listen = "127.0.0.1:$admin_port"
data_dir = "$folder/data"
public_url = "https://localhost:$port/uploads"

[tls]
certificate = "$folder/certificate.pem"
key = "$folder/key.pem"

[auth.jwt]
secret = "$jwt_secret"

[state]
store = "postgres"
postgres_url = "postgres://upload@127.0.0.1:$database_port/upload"

[slots.documents]
max_entries = 8
max_file_size = "1GiB"
resumable = true
writer = "s3"

[slots.documents.s3]
bucket = "$S3_BUCKET"
endpoint = "$S3_ENDPOINT"
region = "$S3_REGION"
force_path_style = true

[[hooks]]
name = "backend"
url = "http://127.0.0.1:$hook_port/uploaded"
secret = "$(openssl rand -hex 32)"
TOML
umask 022
"$server" --config uploads.toml check-config > /dev/null

step 'the server is ready'
start() {
  "$server" --config uploads.toml 2>> server.log &
  server_pid=$!
  wait_for curl --silent --fail "http://127.0.0.1:$admin_port/readyz"
}
start
trap 'kill "$server_pid" 2> /dev/null || true; finish' EXIT

step 'sign-in: refused without a token'
token() {
  python3 - "$jwt_secret" "$1" << 'PYTHON'
import base64, hashlib, hmac, json, sys, time

def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")

secret, owner = sys.argv[1:]
claims = {"sub": owner, "exp": int(time.time()) + 3600}
body = text(b'{"alg":"HS256"}') + b"." + text(json.dumps(claims).encode())
print((body + b"." + text(hmac.new(secret.encode(), body, hashlib.sha256).digest())).decode())
PYTHON
}
token=$(token ann)
site=https://localhost:$port
visit() { curl --silent --cacert certificate.pem --header 'Tus-Resumable: 1.0.0' "$@"; }
status=$(visit --output /dev/null --write-out '%{http_code}' --request POST --header 'Upload-Length: 5' "$site/uploads/files/documents")
[ "$status" = 401 ] || { echo "an upload without a token was answered $status" >&2; exit 1; }

step 'tus by curl: 48 MiB, a restart half way'
head -c 50331648 /dev/urandom > file.bin
encoded=$(printf file.bin | base64)
mine() { visit --header "Authorization: Bearer $token" "$@"; }
header() { tr -d '\r' | sed -n "s/^$1: //Ip"; }
location=$(mine --include --request POST --header 'Upload-Length: 50331648' --header "Upload-Metadata: filename $encoded" \
  "$site/uploads/files/documents" | header location)
# Sends the bytes from one offset to another.
patch() {
  head -c "$2" file.bin | tail -c "+$(($1 + 1))" | mine --include --request PATCH --data-binary @- \
    --header 'Content-Type: application/offset+octet-stream' --header "Upload-Offset: $1" "$location"
}
patch 0 33554432 > /dev/null
kill "$server_pid" && wait "$server_pid" || true
start
offset=$(mine --head "$location" | header upload-offset)
[ "${offset:-0}" -gt 0 ] || { echo 'nothing of the first half is there' >&2; exit 1; }
patch "$offset" 50331648 > answer
grep -q ' 204' answer || { cat answer >&2; exit 1; }

step 'the object is the file'
called() { grep -q "\"$1\"" calls.jsonl; }
wait_for called file.bin
key() { python3 -c 'import json, sys
for call in map(json.loads, open("calls.jsonl")):
    if call["client_name"] == sys.argv[1]: print(call["result"]["key"], call["owner"])' "$1"; }
read -r object owner <<< "$(key file.bin)"
[ "$owner" = ann ] || { echo "it belongs to $owner" >&2; exit 1; }
s3 --output object.bin "$S3_ENDPOINT/$S3_BUCKET/$object"
cmp file.bin object.bin

if python3 -c 'import tusclient' 2> /dev/null; then
  step 'tus by tuspy: the same file'
  REQUESTS_CA_BUNDLE=certificate.pem python3 - "$site/uploads/files/documents" "$token" << 'PYTHON'
import sys
from tusclient.client import TusClient

address, token = sys.argv[1:]
client = TusClient(address, headers={"Authorization": f"Bearer {token}"})
client.uploader("file.bin", chunk_size=1 << 20, metadata={"filename": "tuspy.bin"}).upload()
PYTHON
  wait_for called tuspy.bin
fi

step 'send: four files over wss'
mkdir -p four && for number in 1 2 3 4; do head -c 1000000 /dev/urandom > "four/$number.bin"; done
XDG_STATE_HOME=$folder/sender SSL_CERT_FILE=certificate.pem SEND_TOKEN=$token \
  "$server" send --quiet --url "$site" --slot documents four
for number in 1 2 3 4; do wait_for called "$number.bin"; done

step 'records in Postgres, metrics'
records=$(psql --host 127.0.0.1 --port "$database_port" --username upload upload --tuples-only --no-align \
  --command 'SELECT count(*) FROM upload_records')
[ "$records" -ge 5 ] || { echo "$records records" >&2; exit 1; }
curl --silent --fail --output metrics "http://127.0.0.1:$admin_port/metrics"
grep -q '^uploads_ended_total{.*outcome="complete"' metrics || { echo 'no metric of a complete upload' >&2; exit 1; }

step 'the server ends by SIGTERM'
kill "$server_pid"
wait "$server_pid"
step ''
printf '%-46s %6.2f s\n' 'all' "$(echo "$(date +%s.%N) - $begun" | bc)"
