/**
 * What the service manager (systemd) gives to this process, and what it is told: listening sockets, and how the process
 * is. Without one nothing of it happens. Part of the composition root.
 */
import { serviceSentence } from "../admin/page_words.ts";
import type { ServiceView } from "../admin/view.ts";
import { type Clock, realClock } from "../base/clock.ts";
import type { Config } from "../config/options.ts";
import type { EventStream } from "../events/stream.ts";
import { closeDescriptors } from "../linux/pass_descriptors.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import { ReceivedListeners } from "../net/handover.ts";
import { systemLookUp } from "../net/look_up.ts";
import { activated, type WantedListener } from "../systemd/activation.ts";
import { Notifier } from "../systemd/notify.ts";

/** The environment as it was at the start. */
export type StartVariables = Readonly<Record<string, string>>;

/** The service manager, from the start of the process to its end. */
export class ServiceManager implements Disposable {
  /** Sockets of systemd; undefined if there are none. */
  readonly received: ReceivedListeners | undefined;
  readonly #troubles: Troubles;
  readonly #notifier: Notifier | undefined;
  #unsubscribe: () => void = () => {};

  /** Finds the sockets for the addresses of the config. `control` is the path of the control socket. */
  static async from(
    env: StartVariables,
    config: Config,
    control: string | undefined,
    clock: Clock = realClock,
  ): Promise<ServiceManager> {
    const isAsked = env.LISTEN_FDS !== undefined || env.NOTIFY_SOCKET !== undefined;
    const reason = isAsked ? kernelUnsupportedReason() : undefined;
    if (!isAsked || reason !== undefined) {
      const line = `systemd's sockets and messages cannot be used: ${reason}`;
      return new ServiceManager(undefined, undefined, new Troubles(isAsked ? [line] : []));
    }
    const found = await activated(env, Deno.pid, wantedIn(config, control), systemLookUp);
    closeDescriptors(found.unused);
    const troubles = new Troubles(found.warnings);
    const notifier = Notifier.from(env, Deno.pid, {
      clock,
      monotonicUsec() {
        using libc = new ProcessLibc();
        return libc.monotonicUsec();
      },
      onTrouble: (line) => troubles.add(line),
    });
    const { listeners } = found;
    const received = listeners.length === 0 ? undefined : new ReceivedListeners(listeners);
    return new ServiceManager(received, notifier, troubles);
  }

  private constructor(
    received: ReceivedListeners | undefined,
    notifier: Notifier | undefined,
    troubles: Troubles,
  ) {
    this.received = received;
    this.#notifier = notifier;
    this.#troubles = troubles;
  }

  /** Publishes what was wrong so far, and tells the state of the services whenever something happens. */
  follow(events: EventStream, views: () => readonly ServiceView[]): void {
    const notifier = this.#notifier;
    this.#troubles.tell((warning) => events.publish("", { type: "config.warned", warning }));
    if (notifier === undefined) return;
    this.#unsubscribe = events.subscribe(() => notifier.status(() => statusLine(views())));
  }

  /** The process serves. `takesOver`: in the place of the one that the manager has started. */
  ready(takesOver = false): void {
    this.#notifier?.ready(takesOver ? Deno.pid : undefined);
  }

  /** Carries a reload out, of which the manager knows the beginning and the end. */
  async reload<T>(work: () => Promise<T>): Promise<T> {
    this.#notifier?.reloading();
    try {
      return await work();
    } finally {
      this.#notifier?.ready();
    }
  }

  /** The process begins to end. */
  stopping(): void {
    this.#notifier?.stopping();
  }

  /** Another process is the service from now on. */
  handOver(pid: number): void {
    this.#notifier?.handOver(pid);
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#notifier?.[Symbol.dispose]();
  }
}

/** Lines that are kept until somebody can publish them. */
class Troubles {
  #lines: string[];
  #publish: ((line: string) => void) | undefined;

  constructor(lines: readonly string[]) {
    this.#lines = [...lines];
  }

  add(line: string): void {
    if (this.#publish === undefined) this.#lines.push(line);
    else this.#publish(line);
  }

  tell(publish: (line: string) => void): void {
    this.#publish = publish;
    for (const line of this.#lines.splice(0)) publish(line);
  }
}

/** All places where the process is to listen. */
function wantedIn({ services, process: { admin } }: Config, control: string | undefined) {
  const wanted: WantedListener[] = services.map((service) => ({
    owner: { is: "service", name: service.name },
    address: service.mode === "tcp" ? service.bind : service.listen,
  }));
  if (admin !== undefined) wanted.push({ owner: { is: "admin" }, address: admin });
  if (control !== undefined) {
    wanted.push({ owner: { is: "control" }, address: { kind: "unix", path: control } });
  }
  return wanted;
}

/** The state of all services in one line. */
export function statusLine(views: readonly ServiceView[]): string {
  const sentences = views.map(({ name, state }) => {
    const { text } = serviceSentence(state());
    return views.length === 1 ? text : `${name}: ${text}`;
  });
  return sentences.length === 0 ? "Starting" : sentences.join("; ");
}
