import { rawUpstream, readUntil, type RunningServer, sendText } from "./gateway_fixture.ts";

/** An upstream that answers with the request as it arrived, up to the end of its chunked body if it has one. */
export function mirror(): RunningServer {
  return rawUpstream(async (conn) => {
    for (let said = await readUntil(conn); said !== ""; said = await readUntil(conn)) {
      if (/\r\ntransfer-encoding: chunked\r\n/i.test(said) && !/\r\n0\r\n/.test(said)) {
        said = await readUntil(conn, "\r\n0\r\n", said);
      }
      if (/\r\n0\r\n/.test(said) && !said.endsWith("\r\n\r\n")) said += await readUntil(conn);
      await sendText(conn, `HTTP/1.1 200 OK\r\nContent-Length: ${said.length}\r\n\r\n${said}`);
    }
  });
}
