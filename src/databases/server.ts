/** What a server says instead of letting us in. It is alive then. */

/** The server does not let us in as we are. */
export class LoginRefused extends Error {
  override readonly name = "LoginRefused";
}

/** The server takes no connections at present. */
export class NotReady extends Error {
  override readonly name = "NotReady";

  constructor(readonly phase: "starting" | "shutting down", reason: string) {
    super(reason);
  }
}
