"""Keys of tests that verify tokens, and others that a person may take for one."""

from __future__ import annotations

import base64
import json
from typing import Final

RSA: Final = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzjIdbmnMeiW7kSEiCgeu
z7e1x+whbVkLY/Zu8vRpGpeYlPRWpx4lvW8dr3oVXT4TuXv0mgenDv6OMvpboo2k
DyT84h8caa7upHycutwiZRzbFOoeZMoLR1ZstiYyl94KNW0elasIBRu3/WtUUM91
rZgjQjbN76fXHO93KtGZT8xsn8tsjKLnag4JBu0hWmtHrAnyPlxMaJsyUJgOHAbB
Gmoj27RtMrxDUvt6D7VBNh6ZU2vDStGBAZSUbU05c3Qz7G1e1J3ZhHbq7h+u8jdW
0ViK6X9Uubn6ZdJWAHFxEt/0gOTgFufcMSoqREizNCo341ddQmEKsQgxd2xCyVw1
dQIDAQAB
-----END PUBLIC KEY-----
"""
P256: Final = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyfUUzNd0wOapdBwHG98WheA+BwlZ
MAzj8FegXKKkFaQgzKiQN2JSqG00MmPIem7ndYAmyrSvqZundVH06urbXg==
-----END PUBLIC KEY-----
"""
P256_SHORT: Final = """\
-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACyfUUzNd0wOapdBwHG98WheA+BwlZ
MAzj8FegXKKkFaQ=
-----END PUBLIC KEY-----
"""
P384: Final = """\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEXcMBGQCDWaZpeJWXRumwaNcdGQTWROW7
QmXIl+ZBrT9XFz3w3LihZFQNgyNsWrYUkBf37SU+OI13B5Gnz0aKbqbQL36S1qkk
Qg6R2/XqiRYlXbb4lofg41HXU119+n5U
-----END PUBLIC KEY-----
"""
P521: Final = """\
-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAnKEmHSWPJK9W042U+7jKxVwVt++7
1BFlwGcpbKNPjz44HFDJZVp/UH6ivDnVn8MgMjHgKKQZnPiHRzDTeBwVpLwBNrLc
tohwK1atPidfOWtxmRCHo8nMi1njmn3KvE3Qj7uUQ/R3Jjsgo1k5jrdOIcrBXjTE
/cgFRLRoxfiDd5g1QWQ=
-----END PUBLIC KEY-----
"""
ED25519: Final = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAi7b4N9WCdDKGJ7PdvhFYgkk6QkG18Lq8oyyOKOBd45I=
-----END PUBLIC KEY-----
"""
RSA_1024: Final = """\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDQRnJNQfgqS+6wJNIFiBLeyzh/
0166jYBq3c4KcyUjc9LKtWJ/STQiOgGfXnqKtQmfzxofWEW6538fZbw5M9BbSUt/
ri458+DZYnXbwTgH+6NDKpkxA3cwvKgOfp98JTOnGseHATfP4c0/cBf/mwCZGItH
rio6Iu5G2Ta9XNdt0wIDAQAB
-----END PUBLIC KEY-----
"""
SECP256K1: Final = """\
-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEkvWfaw8cMnPcJm4GWC3UOQNm1y5H8tiy
+q1HkNwplmfjZQgW74kIQ/KkisCCfUZZYskkKHVQ4c8jbPElxL7+Ng==
-----END PUBLIC KEY-----
"""
X25519: Final = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAFyvP/iyN9SAVlbiJs7Ler31BitacoIE08aoNl/Pe6DI=
-----END PUBLIC KEY-----
"""
PKCS1: Final = """\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAzjIdbmnMeiW7kSEiCgeuz7e1x+whbVkLY/Zu8vRpGpeYlPRWpx4l
vW8dr3oVXT4TuXv0mgenDv6OMvpboo2kDyT84h8caa7upHycutwiZRzbFOoeZMoL
R1ZstiYyl94KNW0elasIBRu3/WtUUM91rZgjQjbN76fXHO93KtGZT8xsn8tsjKLn
ag4JBu0hWmtHrAnyPlxMaJsyUJgOHAbBGmoj27RtMrxDUvt6D7VBNh6ZU2vDStGB
AZSUbU05c3Qz7G1e1J3ZhHbq7h+u8jdW0ViK6X9Uubn6ZdJWAHFxEt/0gOTgFufc
MSoqREizNCo341ddQmEKsQgxd2xCyVw1dQIDAQAB
-----END RSA PUBLIC KEY-----
"""
CERTIFICATE: Final = """\
-----BEGIN CERTIFICATE-----
MIIBcjCCARegAwIBAgIUaJus+f51q6b6UrPqyX8U6WLfUd0wCgYIKoZIzj0EAwIw
DjEMMAoGA1UEAwwDaWRwMB4XDTI2MTEyOTEyMjM1OFoXDTM2MTEyNjEyMjM1OFow
DjEMMAoGA1UEAwwDaWRwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyfUUzNd0
wOapdBwHG98WheA+BwlZMAzj8FegXKKkFaQgzKiQN2JSqG00MmPIem7ndYAmyrSv
qZundVH06urbXqNTMFEwHQYDVR0OBBYEFGh6j1NR8VpqIW+QtOkCK8mamfHmMB8G
A1UdIwQYMBaAFGh6j1NR8VpqIW+QtOkCK8mamfHmMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSQAwRgIhANYiDgXxdY6kxKaMa4HpyKA41o6H5UwZmlKXOVgd
KsZbAiEApLUtBKxFuCyiAYUdKGpSS7e6wTBsokd6EOleK4xzo8g=
-----END CERTIFICATE-----
"""

_DER: Final = base64.b64decode("".join(P256.splitlines()[1:-1]))


def _number(start: int, end: int | None = None) -> str:
    return base64.urlsafe_b64encode(_DER[start:end]).rstrip(b"=").decode()


JWK: Final = json.dumps({"kty": "EC", "crv": "P-256", "x": _number(-64, -32), "y": _number(-32)})
"""The key of P256 as RFC 7517 writes it."""

PUBLIC: Final = {
    "RS256": RSA, "ES256": P256, "ES384": P384, "ES512": P521, "EdDSA": ED25519,
}  # fmt: skip
"""Algorithm of tokens -> a public key that verifies them."""
