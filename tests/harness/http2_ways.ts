/** The ways in which the real program is reached over HTTP/2: both engines, with TLS (ALPN) and without (`--h2c`). */
import { opening } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { type Http2Client, http2Client } from "./http2_client.ts";
import type { Flags } from "./proxy.ts";
import { scenario } from "./scenario.ts";

/** One way. */
export interface Http2Way {
  readonly isTls: boolean;
  /** What the program needs for it. */
  readonly flags: Flags;
  /** Connects to it, without the preface if `isSilent`. */
  connect(proxy: { readonly address: string }, isSilent?: boolean): Promise<Http2Client>;
}

/** Runs `run` once for each way that this system has. */
export function onHttp2Ways(
  name: string,
  run: (way: Http2Way) => Promise<void>,
  needs: readonly string[] = [],
): void {
  tlsTest(`HTTP/2 with TLS: ${name}`, ({ certPath, keyPath, cert, relay }) =>
    run({
      isTls: true,
      flags: { relay, "tls-cert": certPath, "tls-key": keyPath },
      connect: ({ address }, isSilent) => http2Client(portOf(address), cert, isSilent),
    }));
  scenario(
    `HTTP/2 without TLS: ${name}`,
    (relay) => run({ isTls: false, flags: { ...relay, h2c: true }, connect: plainClient }),
    needs,
  );
}

async function plainClient(
  { address }: { readonly address: string },
  isSilent = false,
): Promise<Http2Client> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(address) });
  const client = new FrameClient<Deno.Conn>(conn);
  if (!isSilent) await client.send(opening());
  return client;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
