/** The client's side of one exchange without a connection: a request as text, and its response. */
import { Fault } from "../../base/fault.ts";
import type { BodySource } from "../../http1/body.ts";
import type { HeadWriter as Head } from "../../http1/head_writer.ts";
import { parseRequestHead, type RequestHead } from "../../http1/head.ts";
import { HeadWriter } from "../../http1/head_writer.ts";
import type { Client } from "../downstream.ts";

const NO_BODY: Client["body"] = {
  none: true,
  length: 0,
  ended: true,
  read: () => Promise.resolve(undefined),
};

export function headOf(text: string): RequestHead {
  const bytes = new TextEncoder().encode(text);
  const head = parseRequestHead(bytes, 0, bytes.length, { headBytesMax: 4096, fieldsMax: 50 });
  if (head === undefined || head instanceof Fault) throw head ?? new Error("not whole");
  return head;
}

export class FakeClient implements Client {
  readonly head: RequestHead;
  readonly body = NO_BODY;
  readonly peer = "192.0.2.1";
  readonly #out = new HeadWriter();
  #whenGone: ((fault: Fault) => void) | undefined;
  gone: Fault | undefined;
  companion: { close(): void } | undefined;
  memo: unknown;
  responseStarted = false;
  status = 0;
  sentBytes = 0;
  /** Interim and final heads, each as it would be sent, and the body after the last. */
  answered = "";

  /** `lines` end with a line break each. */
  constructor(method = "GET", path = "/", lines = "") {
    this.head = headOf(`${method} ${path} HTTP/1.1\r\nHost: front.test\r\n${lines}\r\n`);
  }

  get whenGone(): ((fault: Fault) => void) | undefined {
    return this.#whenGone;
  }

  set whenGone(callback: ((fault: Fault) => void) | undefined) {
    this.#whenGone = callback;
    if (this.gone !== undefined) callback?.(this.gone);
  }

  leave(fault = new Fault("clientReset")): void {
    this.gone = fault;
    this.#whenGone?.(fault);
  }

  write1xx(status: number, reason: string, fill?: (head: Head) => void): Promise<void> {
    const out = new HeadWriter();
    out.statusLine(status, reason);
    fill?.(out);
    this.answered += new TextDecoder().decode(out.view());
    return Promise.resolve();
  }

  respond(status: number, reason: string): Head {
    this.status = status;
    this.#out.clear();
    this.#out.statusLine(status, reason);
    return this.#out;
  }

  answer(status: number, reason: string): Head {
    return this.respond(status, reason);
  }

  async send(body: BodySource | Uint8Array | null): Promise<void> {
    if (this.gone !== undefined) throw this.gone;
    this.responseStarted = true;
    const decoder = new TextDecoder();
    this.answered += decoder.decode(this.#out.view());
    if (body instanceof Uint8Array) this.sentBytes = body.length;
    if (body instanceof Uint8Array) this.answered += decoder.decode(body);
    else if (body !== null) {
      for (let part = await body.read(); part; part = await body.read()) {
        this.answered += decoder.decode(part);
      }
    }
  }

  upgrade(): never {
    throw new Error("This client has no connection to upgrade");
  }

  abort(fault: Fault): void {
    this.leave(fault);
  }
}
