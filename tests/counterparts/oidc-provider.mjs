// A strict authorization server (oidc-provider, a certified OpenID provider) on 127.0.0.1, until
// standard input ends. Client credentials, refresh tokens that are rotated, and token exchange (RFC
// 8693) of `subjects`' tokens; JWT access tokens (RFC 9068) signed by the algorithm the resource
// indicator asks for; opaque ones for https://opaque.example, with introspection and revocation.
//
// Argument: JSON {"clients": [{"client_id", "client_secret", "token_endpoint_auth_method", …}]: any
//                   client metadata. One with "user": true gets a refresh token of the user ada;
//                 "subjects": {"issuer", "jwks_url"}}: whose tokens it exchanges; absent: nobody's.
// Prints one line of JSON when it answers: {"url": "http://…", "refresh_token": "…"}.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import Provider, { errors } from "oidc-provider";

const { clients, subjects } = JSON.parse(process.argv[1]);

const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

// Whose access tokens are no JWTs.
const OPAQUE = "https://opaque.example";
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

// By the token that says who acts.
const actors = new WeakMap();
const server_of = (resource) => ({
  scope: "read write",
  audience: resource,
  accessTokenTTL: 600,
  ...(resource === OPAQUE
    ? { accessTokenFormat: "opaque" }
    : { accessTokenFormat: "jwt", jwt: { sign: { alg: resources[resource] } } }),
});

// RFC 8693: the subject's token must be good for its issuer, the actor's for us.
function exchange(provider) {
  const subject_keys = createRemoteJWKSet(new URL(subjects.jwks_url));
  const own_keys = createRemoteJWKSet(new URL(`${provider.issuer}/jwks`));
  const verified = async (token, type, keys, issuer) => {
    if (type !== ACCESS_TOKEN) throw new errors.InvalidRequest("not an access token");
    try {
      return (await jwtVerify(token, keys, { issuer, requiredClaims: ["sub", "exp"] })).payload;
    } catch (error) {
      throw new errors.InvalidRequest(`a token is not acceptable: ${error.code}`);
    }
  };
  const handler = async (context) => {
    const { client, params } = context.oidc;
    const { subject_token, subject_token_type, actor_token, actor_token_type } = params;
    const who = await verified(subject_token, subject_token_type, subject_keys, subjects.issuer);
    const acts =
      actor_token && (await verified(actor_token, actor_token_type, own_keys, provider.issuer));
    if (!resources[params.resource]) throw new errors.InvalidTarget();
    const token = new provider.AccessToken({
      client,
      accountId: who.sub,
      gty: "token_exchange",
      scope: params.scope,
    });
    if (acts) actors.set(token, acts.sub);
    token.resourceServer = new provider.ResourceServer(params.resource, server_of(params.resource));
    const value = await token.save();
    context.body = {
      access_token: value,
      issued_token_type: ACCESS_TOKEN,
      token_type: "Bearer",
      expires_in: token.expiration,
      scope: params.scope,
    };
  };
  const parameters = [
    "subject_token", "subject_token_type", "actor_token", "actor_token_type",
    "requested_token_type", "audience", "resource", "scope",
  ];
  provider.registerGrantType(TOKEN_EXCHANGE, handler, parameters, ["audience", "resource"]);
}

const server = createServer();
// A refresh token as the authorization code flow would have given it.
async function consent(provider, clientId) {
  const accountId = "ada";
  const resource = "https://rs256.example";
  const grant = new provider.Grant({ accountId, clientId });
  grant.addResourceScope(resource, "read write");
  grant.addOIDCScope("offline_access");
  const grantId = await grant.save();
  const client = await provider.Client.find(clientId);
  const scope = "offline_access read";
  const gty = "authorization_code";
  const token = new provider.RefreshToken({ accountId, client, grantId, gty, resource, scope });
  return token.save();
}

server.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: clients.map(({ user, ...client }) => ({
      ...client,
      grant_types: user
        ? ["refresh_token", "authorization_code"]
        : ["client_credentials", ...(subjects ? [TOKEN_EXCHANGE] : [])],
      redirect_uris: user ? ["https://app.example/back"] : [],
      response_types: user ? ["code"] : [],
    })),
    jwks: {
      keys: [
        jwk("rs-1", "RS256", "rsa", { modulusLength: 2048 }),
        jwk("es-1", "ES256", "ec", { namedCurve: "P-256" }),
        jwk("ed-1", "EdDSA", "ed25519"),
      ],
    },
    scopes: ["read", "write", "offline_access"],
    extraTokenClaims: (_context, token) =>
      actors.has(token) ? { act: { sub: actors.get(token) } } : undefined,
    rotateRefreshToken: true,
    findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    enabledJWA: {
      clientAuthSigningAlgValues: ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"],
    },
    features: {
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://rs256.example",
        getResourceServerInfo: (_context, resource) => server_of(resource),
      },
    },
  });
  if (subjects) exchange(provider);
  server.on("request", provider.callback());
  const withUser = clients.find(({ user }) => user);
  const refresh_token = withUser && (await consent(provider, withUser.client_id));
  console.log(JSON.stringify({ url, refresh_token }));
});
process.stdin.resume().on("end", () => process.exit(0));
