/**
 * A set whose members change ten thousand times a second, such as the exchanges under way.
 *
 * It is not a `Set` or `Map`, because V8 copies one of those to a new table after a number of changes, and the
 * old table refers to the new one. As soon as one table is in the old generation of the heap, the garbage
 * collector keeps all members of the later tables alive as well. With a `Map`, exchanges cost twice the CPU time.
 */

/** Something that is in at most one slab. */
export interface Member {
  /** Its index in the slab. Only the slab changes it while the object is in one. */
  place: number;
}

/** The set. Adding and removing take constant time. */
export class Slab<M extends Member> {
  readonly #members: M[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: M): void {
    member.place = this.#members.push(member) - 1;
  }

  /** Removes a member. Returns false if it was not in the slab. */
  delete(member: M): boolean {
    const members = this.#members;
    if (members[member.place] !== member) return false;
    const last = members.pop()!;
    if (last !== member) {
      members[member.place] = last;
      last.place = member.place;
    }
    return true;
  }

  /** A copy of the present members, in no particular order. */
  all(): M[] {
    return this.#members.slice();
  }
}
