/** The WebSocket: what changes on the server, as it changes; connects again when the line breaks. */
import type { About, ClientMessage, Queue, Run, RunEvent, ServerMessage, Worker } from "./types";

export interface Listener {
  opened(about: About, queue: Queue): void;
  closed(): void;
  runs(runs: Run[]): void;
  removed(runs: number[]): void;
  workers(workers: Worker[]): void;
  events(run: number, events: RunEvent[]): void;
  caughtUp(run: number): void;
  workflows(): void;
  nodes(): void;
}

type All<U> = (U extends unknown ? (value: U) => void : never) extends (value: infer I) => void ? I : never;
/** A message may hold the fields of any kind. */
type Message = Partial<All<ServerMessage>>;

export class Live {
  private socket: WebSocket | null = null;
  private readonly followed = new Map<number, number>();
  private wait = 250;
  private boot = "";

  constructor(private readonly listener: Listener) {}

  open(): void {
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onmessage = (message) => this.receive(JSON.parse(message.data as string) as Message);
    socket.onclose = () => {
      this.listener.closed();
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, 5000);
    };
  }

  follow(run: number): void {
    if (this.followed.has(run)) return;
    this.followed.set(run, 0);
    this.subscribe(run);
  }

  unfollow(run: number): void {
    if (this.followed.delete(run)) this.send({ unsubscribe: run });
  }

  private subscribe(run: number): void {
    this.send({ subscribe: run, after: this.followed.get(run) ?? 0, brief: true });
  }

  private send(message: ClientMessage): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private receive(message: Message): void {
    const { listener } = this;
    if (message.hello && message.queue) {
      this.wait = 250;
      if (this.boot !== "" && this.boot !== message.hello.boot)
        for (const run of this.followed.keys()) this.followed.set(run, 0);
      this.boot = message.hello.boot;
      listener.opened(message.hello, message.queue);
      for (const run of this.followed.keys()) this.subscribe(run);
    }
    if (message.runs) listener.runs(message.runs);
    if (message.removed) listener.removed(message.removed);
    if (message.workers) listener.workers(message.workers);
    if (message.run !== undefined && message.events) {
      const last = message.events.at(-1);
      if (last && this.followed.has(message.run)) this.followed.set(message.run, last.n);
      listener.events(message.run, message.events);
    }
    if (message.caught_up !== undefined) listener.caughtUp(message.caught_up);
    if (message.workflows) listener.workflows();
    if (message.nodes) listener.nodes();
  }
}
