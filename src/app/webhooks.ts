/** The webhook of the process, which a reload may replace by another one. Part of the composition root. */
import type { Clock } from "../base/clock.ts";
import type { ProcessConfig } from "../config/options.ts";
import type { EventStream } from "../events/stream.ts";
import type { Notices } from "../report/notices.ts";
import { Webhook } from "../report/webhook.ts";

/** The options of the webhook. */
type WebhookOptions = Pick<ProcessConfig, "webhookUrl" | "webhookFormat">;

/** What the webhook needs from outside. */
export interface WebhooksParts {
  readonly clock: Clock;
  readonly events: EventStream;
  /** Called for the first webhook. */
  readonly newNotices: () => Notices;
}

/** The present webhook, if there is one, and those that send their last notices. */
export class Webhooks implements AsyncDisposable {
  readonly #parts: WebhooksParts;
  readonly #ending = new Set<Promise<void>>();
  #options: WebhookOptions;
  #webhook: Webhook | undefined;
  #notices: Notices | undefined;
  /** Notices that replaced webhooks could not send. */
  #lost = 0;

  constructor(options: WebhookOptions, parts: WebhooksParts) {
    this.#parts = parts;
    this.#options = options;
    this.#use(this.#make(options));
  }

  /** Notices that were lost since the start. */
  get lost(): number {
    return this.#lost + (this.#webhook?.lost ?? 0);
  }

  /** Whom notices are about; undefined as long as there was no webhook. */
  get notices(): Notices | undefined {
    return this.#notices;
  }

  /** Prepares another webhook. Nothing changes before `apply`. */
  prepare(
    options: WebhookOptions,
  ): { readonly apply: () => void; readonly undo: () => void; readonly finish: () => void } {
    const [former, before] = [this.#webhook, this.#options];
    if (isSame(before, options)) return { apply() {}, undo() {}, finish() {} };
    return {
      apply: () => {
        this.#options = options;
        this.#use(this.#make(options));
      },
      undo: () => {
        this.#options = before;
        this.#use(former);
      },
      finish: () => {
        if (former !== undefined) this.#end(former);
      },
    };
  }

  /** Sends the last notices, within a bounded time. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#webhook?.[Symbol.asyncDispose]();
    await Promise.all(this.#ending);
  }

  #make({ webhookUrl: url, webhookFormat: format }: WebhookOptions): Webhook | undefined {
    if (url === undefined) return undefined;
    const { clock, events, newNotices } = this.#parts;
    this.#notices ??= newNotices();
    return new Webhook({ url, format }, {
      notices: this.#notices,
      clock,
      publish: events.scope(""),
    });
  }

  #unsubscribe = () => {};

  #use(webhook: Webhook | undefined): void {
    this.#unsubscribe();
    this.#webhook = webhook;
    this.#unsubscribe = webhook === undefined
      ? () => {}
      : this.#parts.events.subscribe(webhook.take);
  }

  #end(webhook: Webhook): void {
    const ending = webhook[Symbol.asyncDispose]().then(() => {
      this.#lost += webhook.lost;
      this.#ending.delete(ending);
    });
    this.#ending.add(ending);
  }
}

function isSame(one: WebhookOptions, other: WebhookOptions): boolean {
  return one.webhookUrl?.href === other.webhookUrl?.href &&
    one.webhookFormat === other.webhookFormat;
}
