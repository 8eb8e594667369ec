// AWS's own verifier of `x-amzn-oidc-data` (aws-jwt-verify).
//
// Standard input: JSON {"signer", "issuer", "client", "kid", "pem", "samples": ["…", …]}.
// Prints one line of JSON: for each sample null if it is accepted, else why not.
import { AlbJwksCache } from "aws-jwt-verify/alb-cache";
import { AlbJwtVerifier } from "aws-jwt-verify/alb-verifier";

let text = "";
for await (const part of process.stdin) text += part;
const { signer, issuer, client, kid, pem, samples } = JSON.parse(text);
// The region's key endpoint.
const fetcher = {
  fetch: async (url) => {
    if (!url.endsWith(`/${kid}`)) throw new Error("404");
    return new TextEncoder().encode(pem);
  },
};
const jwksCache = new AlbJwksCache({ fetcher });
const verifier = AlbJwtVerifier.create({ albArn: signer, issuer, clientId: client }, { jwksCache });
const outcomes = [];
for (const sample of samples) {
  outcomes.push(await verifier.verify(sample).then(() => null, (error) => `${error.name}: ${error.message}`));
}
console.log(JSON.stringify(outcomes));
