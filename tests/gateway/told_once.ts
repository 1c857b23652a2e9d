/**
 * The stories of this folder that are not told over HTTP/1.1 and over HTTP/2 by `onBothProtocols`, and why. A story
 * that is missing here must be told over both: `told_once_test.ts` compares this table with the tests.
 */

/** By file and name of the test. */
export const TOLD_ONCE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "begin_test.ts": {
    "a slow start promotes the first upstream once": "It asks over both protocols itself.",
    "each request waits for its own --hold, also long after the outage began":
      "It asks over both protocols at one time, because it waits for a real hold.",
  },
  "edges_test.ts": {
    "Upgrade: h2c and HTTP2-Settings are not forwarded; another protocol beside them is":
      "HTTP/2 has no Upgrade; that it is refused there is told in http2_smuggling_test.ts.",
  },
  "failover_test.ts": {
    "of 200 clients no request is lost that was not sent, and no unsafe one is executed twice":
      "Half of its clients speak HTTP/2.",
  },
  "http2_early_test.ts": {
    "100 Continue is passed on at once": "It is about the frames of HTTP/2 and their order.",
    "an answer before the end of an upload is whole, and then the rest is refused without an error":
      "It is about NO_ERROR and END_STREAM, which only HTTP/2 has.",
  },
  "http2_fields_test.ts": {
    "random fields arrive and come back as they were sent":
      "It is about the compression of fields, which only HTTP/2 has.",
  },
  "http2_smuggling_test.ts": {
    "a malformed request of HTTP/2 is refused, nothing of it arrives, and its connection goes on":
      "It has the malformed heads of HTTP/2; those of HTTP/1.1 are in smuggling_test.ts.",
    "a body of another length than was declared is cut: no byte of it becomes another request":
      "In HTTP/1.1 the length alone says where a body ends.",
    "requests inside bodies stay part of the body, on one connection with many streams":
      "It mixes the frames of many streams; smuggling_test.ts has it for HTTP/1.1.",
    "what a client says of its handshake does not reach the upstream of an extended CONNECT":
      "It is about the extended CONNECT, which only HTTP/2 has.",
    "a field that is malformed in a head is malformed in a trailer of HTTP/2, too":
      "It has the malformed trailers of HTTP/2; those of HTTP/1.1 are in edges_test.ts.",
  },
  "http2_test.ts": {
    "a request over HTTP/2 without a body has none at the upstream": "Only HTTP/2 has END_STREAM.",
    "a response that must have no body has none over HTTP/2, nor a wrong length":
      "process_test.ts tells it for both; this one reads with another program's client.",
    "a strict upstream keeps its connection after requests without a body":
      "It compares what is sent for the requests of other programs' clients of HTTP/2.",
    "a body over HTTP/2 of unknown length arrives whole, also with empty parts":
      "It sends empty DATA frames, which HTTP/1.1 does not have.",
    "a client that has negotiated HTTP/2 and sends HTTP/1.1 is not answered":
      "It is about ALPN, by which HTTP/2 alone is negotiated.",
    "curl over HTTP/2: methods without a body, one after another":
      "It is about another program's client of HTTP/2.",
    "a login for a connection, made over HTTP/2, ends with its response":
      "bound_test.ts tells it for both; this one is with TLS.",
  },
  "http2_way_test.ts": {
    "103 comes before the response, and trailers after it": "It reads the frames of HTTP/2.",
    "a response that its upstream cuts is reset, not ended": "It reads the frames of HTTP/2.",
    "a 205 has no body, and its upstream's connection goes on": "It reads the frames of HTTP/2.",
    "100 Continue comes when the upstream wants the body": "It reads the frames of HTTP/2.",
    "as many cookies as a browser keeps for a site arrive in one line, also in crumbs":
      "HTTP/1.1 has one line of cookies.",
    "a WebSocket over HTTP/2 is a tunnel that each side may end (RFC 8441)":
      "It is about the extended CONNECT, which only HTTP/2 has.",
    "a client that takes its request back frees the upstream, and others go on":
      "It is about several requests at one time, which only HTTP/2 has.",
    "fields of a connection are malformed in HTTP/2, and credentials for a proxy are not forwarded":
      "HTTP/1.1 has such fields: way_test.ts tells what becomes of them.",
  },
  "http2_windows_test.ts": {
    "windows that change in the middle of bodies are kept to the byte, and all bodies arrive":
      "It is about the windows of streams, which only HTTP/2 has.",
  },
  "process_test.ts": {
    "a client that is too slow with its head is refused, with a line and a count":
      "It has clients of both, because it waits for a real time-out.",
    "a response that stops is ended by --response-idle-timeout, an event stream is not":
      "It has clients of both, because it waits for a real time-out.",
    "redirects, TRACE, and responses that must have no body": "It has clients of both.",
    "a connection with a login is used for its client only": "It has clients of both.",
    "a kept connection ends before its upstream's Keep-Alive timeout":
      "It has clients of both, because it waits for a real time-out.",
    "each configured header that belongs to a message or a connection is refused in one line":
      "It has no client.",
  },
  "same_exchange_test.ts": {
    "random exchanges are the same over HTTP/1.1 and over HTTP/2, where many are under way at one time":
      "It sends each exchange over both.",
  },
  "service_test.ts": {
    "--tls-cert and --tls-key serve HTTPS, and neither works alone":
      "It asks over both protocols itself.",
    "a file that cannot be read is a configuration error that names the option":
      "It has no client.",
    "an https upstream is trusted with --ca-file, and not without it":
      "It is about the connection to the upstream.",
  },
  "smuggling_test.ts": {
    "a request that two recipients could frame differently is refused, and nothing of it arrives":
      "It has the malformed heads of HTTP/1.1; those of HTTP/2 are in http2_smuggling_test.ts.",
    "a body with invalid chunks ends the request, and none of its bytes becomes another request":
      "HTTP/2 has no chunks; bodies of a wrong length are in http2_smuggling_test.ts.",
    "requests inside bodies stay part of the body, on connections that many requests share":
      "It divides bodies as HTTP/1.1 does; http2_smuggling_test.ts has frames.",
    "of mutated requests the upstream receives what llhttp reads without the proxy, or less":
      "It mutates the bytes of HTTP/1.1; src/http2/fuzz_test.ts mutates frames.",
  },
  "tls_test.ts": {
    "method, path, headers and body of an HTTP/2 client are forwarded, and it gets the response":
      "It is about HTTP/2 with TLS, with another program's client.",
    "HTTP/2 has the same retries: after a refusal another upstream is used, an incomplete response is a stream error":
      "retry_test.ts tells it for both; this one is with TLS, with another program's client.",
    "an HTTP/1.1 client upgrades over the same port":
      "HTTP/2 has no Upgrade; its WebSockets with TLS are in src/http2 and the browser's story.",
    "a handshake that is ended for others in the moment in which it succeeds is not served":
      "It chooses both protocols itself, and asks for nothing but a handshake.",
    "a certificate that changes is served to new clients, a broken one is not":
      "It asks for nothing but a handshake.",
  },
  "way_test.ts": {
    "hop-by-hop headers, and those that Connection names, are not forwarded":
      "They are malformed in HTTP/2, as http2_way_test.ts tells.",
  },
};
