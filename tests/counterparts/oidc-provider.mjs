// A strict authorization server (oidc-provider, a certified OpenID provider) on 127.0.0.1, until
// standard input ends. Client credentials only; JWT access tokens (RFC 9068) signed by the
// algorithm the resource indicator asks for.
//
// Argument: JSON {"clients": [{"client_id", "client_secret", "token_endpoint_auth_method"}]}.
// Prints one line of JSON when it answers: {"url": "http://…"}.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const { clients } = JSON.parse(process.argv[1]);

const resources = {
  "https://rs256.example": "RS256",
  "https://es256.example": "ES256",
  "https://eddsa.example": "EdDSA",
};
const jwk = (kid, alg, type, options) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }),
  kid,
  alg,
  use: "sig",
});

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: clients.map((client) => ({
      ...client,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    jwks: {
      keys: [
        jwk("rs-1", "RS256", "rsa", { modulusLength: 2048 }),
        jwk("es-1", "ES256", "ec", { namedCurve: "P-256" }),
        jwk("ed-1", "EdDSA", "ed25519"),
      ],
    },
    scopes: ["read", "write"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://rs256.example",
        getResourceServerInfo: (_context, resource) => ({
          scope: "read write",
          audience: resource,
          accessTokenFormat: "jwt",
          accessTokenTTL: 600,
          jwt: { sign: { alg: resources[resource] } },
        }),
      },
    },
  });
  server.on("request", provider.callback());
  console.log(JSON.stringify({ url }));
});
process.stdin.resume().on("end", () => process.exit(0));
