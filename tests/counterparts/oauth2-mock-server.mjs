// An obedient authorization server (oauth2-mock-server) on 127.0.0.1, until standard input ends.
// It signs whatever it is told, changes its keys and breaks its token endpoint on command.
//
// Prints one line of JSON when it answers: {"url": "http://…"}. Commands are POSTs with a JSON body:
//   /control/rotate  {"alg": "RS256", "keep": true}           new signing key; `keep`: the old stay
//                                                             published. Answers {"kid": …}.
//   /control/mint    {"header": {…}, "claims": {…}, "kid": …} answers {"token": …}
//   /control/answer  {"at": "/token/x", "status": 429, "headers": {…}, "body": {…}, "delay_ms": 0}
//                                                             what this token endpoint answers from
//                                                             now on; no status: as it should
//   /control/userinfo  {"sub": …}                           what its userinfo endpoint answers
//   /control/seen    {"at": "/token/x"}                       answers the number of its requests
// Every path below /token is a token endpoint.
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

let issuer, service, kid, userinfo;
const answers = new Map();
const seen = new Map();
const server = createServer();

const commands = {
  async rotate({ alg = "RS256", keep = false }) {
    if (!keep || !issuer) {
      const url = issuer?.url;
      issuer = new OAuth2Issuer();
      issuer.url = url;
      service = new OAuth2Service(issuer);
      service.on("beforeUserinfo", (answer) => {
        answer.body = userinfo ?? answer.body;
      });
    }
    ({ kid } = await issuer.keys.generate(alg));
    return { kid };
  },
  async mint({ header = {}, claims = {}, kid: signer }) {
    const scopesOrTransform = (itsHeader, itsClaims) => {
      Object.assign(itsHeader, header);
      Object.assign(itsClaims, claims);
    };
    return { token: await issuer.buildToken({ kid: signer ?? kid, scopesOrTransform }) };
  },
  answer(answer) {
    answers.set(answer.at, answer.status && answer);
    return {};
  },
  userinfo(claims) {
    userinfo = claims;
    return {};
  },
  seen: ({ at }) => ({ requests: seen.get(at) ?? 0 }),
};

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function send(response, status, headers, body) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

server.on("request", async (request, response) => {
  const { pathname } = new URL(request.url, issuer.url);
  const command = pathname.startsWith("/control/") && commands[pathname.slice(9)];
  if (command) {
    send(response, 200, {}, await command(JSON.parse(await read(request))));
    return;
  }
  if (pathname.startsWith("/token")) {
    seen.set(pathname, (seen.get(pathname) ?? 0) + 1);
    const answer = answers.get(pathname);
    if (answer) {
      await read(request);
      await setTimeout(answer.delay_ms ?? 0);
      send(response, answer.status, answer.headers, answer.body ?? {});
      return;
    }
    request.url = "/token";
  }
  service.requestHandler(request, response);
});

await commands.rotate({});
server.listen(0, "127.0.0.1", () => {
  issuer.url = `http://127.0.0.1:${server.address().port}`;
  console.log(JSON.stringify({ url: issuer.url }));
});
process.stdin.resume().on("end", () => process.exit(0));
