/**
 * Follows one interface of the kernel through its life: set down and up, given another MTU, removed, and made again
 * under the same name.
 *
 * It hears the kernel's news on rtnetlink, and asks for what the news does not say or what got lost of it. So the
 * listener is told every change that was heard of, in its order, and in the end always what is.
 */

import { StackError } from "../../src/errors.ts";
import { type Link, RouteSocket } from "./netlink.ts";

/** Where there is news each time that the news has been looked at, what is left is for the next time. */
const MAX_ROUNDS = 4;

/** What happened to the interface. Nothing is told twice. */
export interface LinkListener {
  linkUp(): void;
  linkDown(): void;
  linkMtu(mtu: number): void;
  /** The interface is in this network namespace no more. */
  linkRemoved(): void;
  /**
   * Not followed any more, or not yet: there is an interface of the name. Called at each news of interfaces until
   * `follow`.
   */
  linkAppeared(link: Link): void;
}

export class LinkMonitor {
  /** Becomes readable when `look` may find something. */
  readonly descriptor: number;
  /** For requests in the namespace that the monitor was made in. */
  readonly routes: RouteSocket;
  /** The name that is looked for after a removal; follows a renaming. */
  name = "";
  /** The number of the interface that is followed; 0 for none. */
  index = 0;
  up = false;
  mtu = 0;

  /** Listens in the network namespace that the thread is in. Follows nothing yet. */
  constructor() {
    this.routes = new RouteSocket(true);
    this.descriptor = this.routes.descriptor;
  }

  /** From now on it is this interface, and the listener is told what becomes different. */
  follow(link: Link): void {
    this.name = link.name;
    this.index = link.index;
    this.up = link.up;
    this.mtu = link.mtu;
  }

  /** Reads the news, asks what it means, and tells the listener. Never blocks. */
  look(listener: LinkListener): void {
    let concerns = this.index === 0 || this.routes.missed;
    const following = this.index;
    this.routes.news((link, exists) => {
      if (link.index !== following) return;
      concerns = true;
      if (exists && this.index !== 0) this.tell(link, listener);
    });
    if (concerns || this.routes.missed) this.compare(listener);
  }

  /** Asks how the interface is now, whatever the news; again where there was news while it asked. */
  compare(listener: LinkListener): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.routes.missed = false;
      this.compareOnce(listener);
      if (!this.routes.missed) return;
    }
  }

  private compareOnce(listener: LinkListener): void {
    if (this.index !== 0) {
      const now = this.ask(this.index);
      if (now === undefined) return;
      if (now === null) {
        this.index = 0;
        this.up = false;
        listener.linkRemoved();
      } else {
        this.name = now.name;
        this.tell(now, listener);
      }
    }
    if (this.index !== 0) return;
    const successor = this.ask(this.name);
    if (successor) listener.linkAppeared(successor);
  }

  /** How the interface is, `null` where there is none; `undefined` where the kernel does not say, and is asked again. */
  ask(wanted: number | string): Link | null | undefined {
    try {
      return this.routes.link(wanted);
    } catch (error) {
      if (!(error instanceof StackError)) throw error;
      this.routes.missed = true;
      return undefined;
    }
  }

  private tell({ mtu, up }: Link, listener: LinkListener): void {
    if (mtu !== this.mtu && mtu !== 0) {
      this.mtu = mtu;
      listener.linkMtu(mtu);
    }
    if (up === this.up) return;
    this.up = up;
    if (up) listener.linkUp();
    else listener.linkDown();
  }

  close(): void {
    this.routes.close();
  }
}
