/**
 * The stories of this folder that are not told over HTTP/1.1 and over HTTP/2 by `onBothProtocols`, and why. A story
 * that is missing here must be told over both: `told_once_test.ts` compares this table with the tests.
 */

/** By file and name of the test. */
export const TOLD_ONCE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "http2_fields_test.ts": {
    "random fields arrive and come back as they were sent":
      "It is about the compression of fields, which only HTTP/2 has.",
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
  },
};
