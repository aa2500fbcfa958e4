#!/usr/bin/env python3
"""Verifies a bundle of `recover export` without recover: python3 verify-bundle.py BUNDLE PUBLIC-KEY.pem

Checks the signature (by the program openssl), the chain of the records, and that the chain ends at the signed head. It does not
follow the procedure's graph and guards, as `recover verify` does."""
import base64, hashlib, json, struct, subprocess, sys, tempfile

def b64(text):
    return base64.b64decode(text, validate=True)

envelope = json.load(open(sys.argv[1]))
payload, kind = b64(envelope["payload"]), envelope["payloadType"].encode()
signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
with tempfile.NamedTemporaryFile() as message, tempfile.NamedTemporaryFile() as signature:
    message.write(signed), message.flush()
    signature.write(b64(envelope["signatures"][0]["sig"])), signature.flush()
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", sys.argv[2], "-rawin", "-in", message.name]
    if subprocess.run(words + ["-sigfile", signature.name], stdout=subprocess.DEVNULL).returncode != 0:
        sys.exit("the signature does not hold")

statement = json.loads(payload)
before, records = bytes(32), [b64(text) for text in statement["predicate"]["records"]]
for number, record in enumerate(records, 1):
    length, _, _, _, sequence = struct.unpack_from("<IBBHI", record)
    if length != len(record) or sequence != number or record[56:88] != before:
        sys.exit(f"record {number} does not follow the one before it")
    before = hashlib.sha256(record).digest()
if before.hex() != statement["subject"][0]["digest"]["sha256"]:
    sys.exit("the records do not end at the signed head")
print(f"{statement['subject'][0]['name']}: {len(records)} records, head {before.hex()}")
