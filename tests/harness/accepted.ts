/**
 * The connections that a listener accepts, until it is closed. Unlike `for await` over the listener itself, this goes
 * on after a client that reset its connection while it waited to be accepted: Deno then fails with ENOTCONN.
 */
export async function* acceptedBy<C extends Deno.Conn>(
  listener: { accept(): Promise<C> },
): AsyncGenerator<C> {
  for (;;) {
    let conn: C;
    try {
      conn = await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.NotConnected) continue;
      if (error instanceof Deno.errors.BadResource) return;
      if (error instanceof Deno.errors.Interrupted) return;
      throw error;
    }
    yield conn;
  }
}
