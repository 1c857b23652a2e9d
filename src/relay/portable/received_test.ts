/** The portable engine on a socket that another process has left to it. */
import { leaveSocket } from "../../net/testing/left_socket.ts";
import { relayContract } from "../testing/contract.ts";
import { makePortableRelay } from "./portable.ts";

if (Deno.build.os === "linux") {
  relayContract("stream on a received socket", (settings, context) => {
    const { bind } = settings;
    const literal = bind.kind === "tcp" && bind.host === "127.0.0.1" && bind.port === 0;
    return makePortableRelay(settings, {
      ...context,
      ...literal ? { received: leaveSocket(bind) } : {},
    });
  });
}
