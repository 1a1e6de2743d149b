// Makes an authority and a certificate, in DER by hand: Node.js can sign, but has nothing that writes certificates.
import { generateKeyPairSync, sign } from "node:crypto";

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts) => der(0x30, ...parts);
const oid = (...bytes) => der(0x06, Buffer.from(bytes));
const ECDSA_SHA256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const name = (text) => sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(text)))));
const date = (ms) => der(0x17, Buffer.from(new Date(ms).toISOString().replace(/^20|[-:T]|\.\d+/g, "")));
const extension = (id, critical, value) =>
  sequence(oid(0x55, 0x1d, id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));

function certificate(subject, publicKey, issuer, signer, serial, extensions) {
  const now = Date.now();
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), der(0x02, Buffer.from([serial])), ECDSA_SHA256, name(issuer),
    sequence(date(now - 3_600_000), date(now + 86_400_000)), name(subject), publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, signer));
  const text = sequence(body, ECDSA_SHA256, signature).toString("base64").replace(/.{64}/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
}

/** Returns an authority's certificate, and a certificate and key for `localhost` that it has signed. */
export function certificates() {
  const [authority, server] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "prime256v1" }));
  const isAuthority = extension(0x13, true, sequence(der(0x01, Buffer.from([0xff]))));
  const names = extension(0x11, false, sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1]))));
  return {
    ca: certificate("A test's authority", authority.publicKey, "A test's authority", authority.privateKey, 1, [isAuthority]),
    cert: certificate("localhost", server.publicKey, "A test's authority", authority.privateKey, 2, [names]),
    key: server.privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}
