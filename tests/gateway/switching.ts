/** Upstreams of stories with a WebSocket. */

/** RFC 6455 section 1.3. */
const HANDSHAKE_ID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The `101` that opens the WebSocket for which `head` asks; `lines` are further fields. */
export async function switching(head: string, lines: readonly string[] = []): Promise<string> {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? "";
  const hash = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(key + HANDSHAKE_ID));
  const accept = btoa(String.fromCharCode(...new Uint8Array(hash)));
  const own = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  return ["HTTP/1.1 101 Switching Protocols", ...own, ...lines, "", ""].join("\r\n");
}
