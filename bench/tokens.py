"""A throw-away issuer: one RSA key, its JWK Set, tokens that must pass and tokens that must not.

OpenSSL signs: the program makes the keys, its library (which Python links anyway) the many tokens.
"""

import base64
import concurrent.futures
import ctypes
import ctypes.util
import json
import subprocess
import time
import uuid

POOL = "us-east-1_AbCdEf123"
ISSUER = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"
CLIENT = "4example1234567890abcdefg"
GROUP = "analysts"
KEY_ID = "bench/key+0123456789abcdefghijklmnopqrstuv="
LIFETIME = 30 * 86400
DISTINCT = 100_000


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return base64url(json.dumps(value, separators=(",", ":")).encode())


class Signer:
    """RS256 with the private key in a PEM file, through libcrypto; threads may share one."""

    def __init__(self, file):
        self.crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for name in ("BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "EVP_sha256", "EVP_MD_CTX_new"):
            getattr(self.crypto, name).restype = ctypes.c_void_p
        pem = file.read_bytes()
        buffer = ctypes.c_void_p(self.crypto.BIO_new_mem_buf(pem, len(pem)))
        self.key = ctypes.c_void_p(self.crypto.PEM_read_bio_PrivateKey(buffer, None, None, None))
        self.hash = ctypes.c_void_p(self.crypto.EVP_sha256())

    def sign(self, message):
        signature = ctypes.create_string_buffer(256)
        length = ctypes.c_size_t(256)
        context = ctypes.c_void_p(self.crypto.EVP_MD_CTX_new())
        text = ctypes.c_size_t(len(message))
        done = self.crypto.EVP_DigestSignInit(
            context, None, self.hash, None, self.key
        ) == 1 and self.crypto.EVP_DigestSign(
            context, signature, ctypes.byref(length), message, text
        ) == 1
        self.crypto.EVP_MD_CTX_free(context)
        if not done or length.value != 256:
            raise SystemExit("libcrypto did not sign")
        return signature.raw

    def token(self, claims, **header):
        text = f"{part({'kid': KEY_ID, 'alg': 'RS256'} | header)}.{part(claims)}"
        return f"{text}.{base64url(self.sign(text.encode()))}"


def claims(**other):
    """The access token of a Cognito user: signed, about 1 KB."""
    now = int(time.time())
    user = str(uuid.uuid4())
    return {
        "sub": user,
        "cognito:groups": [GROUP, "mlflow-readers"],
        "iss": ISSUER,
        "version": 2,
        "client_id": CLIENT,
        "origin_jti": str(uuid.uuid4()),
        "event_id": str(uuid.uuid4()),
        "token_use": "access",
        "scope": "openid profile email",
        "auth_time": now,
        "exp": now + LIFETIME,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "username": user,
    } | other


def new_key(file):
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", file)
    return Signer(file)


def key_set(file):
    modulus = openssl("rsa", "-in", file, "-noout", "-modulus").decode().strip()
    number = base64url(bytes.fromhex(modulus.removeprefix("Modulus=")))
    key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "e": "AQAB", "n": number}
    return json.dumps({"keys": [key]})


def refused(signer, other):
    """Tokens that nobody who checks anything may let through, by what is wrong with them."""
    now = int(time.time())
    head, body, signature = signer.token(claims()).split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    return {
        "forged": f"{head}.{body}.{flipped}",
        "other key": other.token(claims()),
        "expired": signer.token(claims(exp=now - 7200)),
        "other issuer": signer.token(claims(iss="https://issuer.example")),
        "other client": signer.token(claims(client_id="another")),
        "other group": signer.token(claims(**{"cognito:groups": ["guests"]})),
        "unsigned": f"{part({'alg': 'none', 'kid': KEY_ID})}.{body}.",
        "no token": "a.b.c",
    }


def make(folder, many):
    """Fills the folder, unless what it holds is still good; the distinct tokens only if needed."""
    made = folder / "made"
    fresh = made.exists() and time.time() - made.stat().st_mtime < LIFETIME / 2
    if not fresh:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens").unlink(missing_ok=True)
        signer = new_key(folder / "key.pem")
        other = new_key(folder / "other.pem")
        openssl("pkey", "-in", folder / "key.pem", "-pubout", "-out", folder / "key.pub.pem")
        (folder / "jwks.json").write_text(key_set(folder / "key.pem"))
        (folder / "token").write_text(signer.token(claims()))
        (folder / "refused.json").write_text(json.dumps(refused(signer, other)))
        made.touch()
    if many and not (folder / "tokens").exists():
        print(f"minting {DISTINCT} tokens, once", flush=True)
        signer = Signer(folder / "key.pem")
        with concurrent.futures.ThreadPoolExecutor() as threads:
            tokens = threads.map(lambda _: signer.token(claims()), range(DISTINCT))
            (folder / "tokens.new").write_text("\n".join(tokens) + "\n")
        (folder / "tokens.new").rename(folder / "tokens")
