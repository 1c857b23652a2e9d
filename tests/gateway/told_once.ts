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
  "http2_way_test.ts": {
    "103 comes before the response, and trailers after it": "It reads the frames of HTTP/2.",
    "a response that its upstream cuts is reset, not ended": "It reads the frames of HTTP/2.",
    "a 205 has no body, and its upstream's connection goes on": "It reads the frames of HTTP/2.",
    "100 Continue comes when the upstream wants the body": "It reads the frames of HTTP/2.",
    "a WebSocket over HTTP/2 is a tunnel that each side may end (RFC 8441)":
      "It is about the extended CONNECT, which only HTTP/2 has.",
    "a client that takes its request back frees the upstream, and others go on":
      "It is about several requests at one time, which only HTTP/2 has.",
    "fields of a connection are malformed in HTTP/2, and credentials for a proxy are not forwarded":
      "HTTP/1.1 has such fields: way_test.ts tells what becomes of them.",
  },
  "service_test.ts": {
    "--tls-cert and --tls-key serve HTTPS, and neither works alone":
      "It asks over both protocols itself.",
    "a file that cannot be read is a configuration error that names the option":
      "It has no client.",
    "an https upstream is trusted with --ca-file, and not without it":
      "It is about the connection to the upstream.",
  },
  "way_test.ts": {
    "hop-by-hop headers, and those that Connection names, are not forwarded":
      "They are malformed in HTTP/2, as http2_way_test.ts tells.",
  },
};
