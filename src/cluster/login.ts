/**
 * One log-in for all services of a process. etcd hashes the password each time, which takes a good part of a second of a
 * core on purpose. If every service logged in by itself, so many log-ins at once would all time out, and be repeated
 * without end.
 */
import type { Clock } from "../base/clock.ts";
import { EtcdError } from "./etcd.ts";

/** A user of etcd. */
export interface EtcdUser {
  readonly name: string;
  /** Read for each log-in. */
  readonly password: () => Promise<string>;
}

/** Gets a token from one endpoint; resolves with undefined if etcd wants none. */
export type Authenticate = (user: EtcdUser) => Promise<string | undefined>;

/** How long a refusal counts for all services, in milliseconds: the password is wrong for each of them. */
const REFUSED_MS = 1_000;

/** The token of one user. */
export class Login {
  readonly #user: EtcdUser;
  readonly #clock: Clock;
  #token: string | undefined;
  /** The log-ins that wait for an answer, by endpoint. */
  readonly #underWay = new Map<string, Promise<string | undefined>>();
  #refused: { readonly at: number; readonly error: EtcdError } | undefined;

  constructor(user: EtcdUser, clock: Clock) {
    this.#user = user;
    this.#clock = clock;
  }

  /**
   * The present token, or a new one from this endpoint. A call while a log-in at the endpoint is under way gets the
   * outcome of that log-in. Rejects like `authenticate`.
   */
  async tokenFrom(endpoint: string, authenticate: Authenticate): Promise<string | undefined> {
    if (this.#token !== undefined) return this.#token;
    const refused = this.#refused;
    if (refused !== undefined && this.#clock.now() - refused.at < REFUSED_MS) throw refused.error;
    let login = this.#underWay.get(endpoint);
    if (login === undefined) {
      login = this.#logIn(authenticate).finally(() => this.#underWay.delete(endpoint));
      this.#underWay.set(endpoint, login);
    }
    return await login;
  }

  /** etcd may not take this token any more. It is kept if it was replaced meanwhile. */
  mayBeOver(token: string | undefined): void {
    if (token === this.#token) this.#token = undefined;
  }

  async #logIn(authenticate: Authenticate): Promise<string | undefined> {
    try {
      return this.#token = await authenticate(this.#user);
    } catch (error) {
      if (error instanceof EtcdError && error.kind === "refused") {
        this.#refused = { at: this.#clock.now(), error };
      }
      throw error;
    }
  }
}
