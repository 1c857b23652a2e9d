/** The limits of a server, and their defaults. */

/** Limits of a server. Times are in milliseconds; sizes are in bytes. */
export interface ServerLimits {
  /** From the first byte of a head to its last. 10 s. */
  readonly headMs: number;
  /** Between two requests, and before the first. 75 s. */
  readonly idleMs: number;
  /** Without a byte of a request body while one is awaited. 30 s. */
  readonly bodyMs: number;
  /** Bytes per second of a request body, after its first `bodyMs`. 100; 0 is never too slow. */
  readonly bodyRateMin: number;
  /** Without a byte taken by the client. 30 s. */
  readonly writeMs: number;
  /** How long a client that closed its sending side is served while no byte moves. 1 s. */
  readonly halfCloseMs: number;
  /**
   * The same until the first byte of the response, for a GET or HEAD without a body: such a client has nearly
   * always left. 250 ms.
   */
  readonly halfCloseGetMs: number;
  /** Size of a request head. 64 KiB. */
  readonly headBytesMax: number;
  /** Field lines in a request head. 128. */
  readonly fieldsMax: number;
  /** Connections at one time; `reserveOf` more are accepted, to wait or to be refused. 10000. */
  readonly connectionsMax: number;
}

/** The limits where an operator has set none. */
export const SERVER_LIMITS: ServerLimits = {
  headMs: 10_000,
  idleMs: 75_000,
  bodyMs: 30_000,
  bodyRateMin: 100,
  writeMs: 30_000,
  halfCloseMs: 1_000,
  halfCloseGetMs: 250,
  headBytesMax: 64 * 1024,
  fieldsMax: 128,
  connectionsMax: 10_000,
};
