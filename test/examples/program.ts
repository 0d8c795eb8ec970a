import { join } from "node:path";

const root = join(import.meta.dir, "../..");

/** How a program ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, without changing to a shell. */
export async function run(command: readonly string[], stdin?: Uint8Array | string): Promise<Ended> {
  const child = Bun.spawn([...command], {
    cwd: root,
    stdin: stdin === undefined ? "ignore" : typeof stdin === "string" ? Buffer.from(stdin) : stdin,
    stdout: "pipe",
    stderr: "pipe",
    timeout: 10_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { exitCode, stdout, stderr };
}

/** Runs an example to its end. */
export function example(name: string, ...flags: string[]): Promise<Ended> {
  return run([process.execPath, "run", `examples/${name}.ts`, ...flags]);
}

/** An example that keeps running until it is told to stop. */
export class Server implements AsyncDisposable {
  stdout = "";
  private readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  private readonly stderr: Promise<string>;
  private readonly reading: Promise<void>;

  private constructor(flags: readonly string[]) {
    this.child = Bun.spawn([process.execPath, "run", "examples/server.ts", ...flags], {
      cwd: root,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.stderr = new Response(this.child.stderr).text();
    this.reading = this.read();
  }

  private async read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.child.stdout) this.stdout += decoder.decode(chunk, { stream: true });
  }

  /** Starts it, and waits until it serves. */
  static async start(...flags: string[]): Promise<Server> {
    const server = new Server(flags);
    const isReady = () => /^(Try|Nothing)/m.test(server.stdout);
    const end = performance.now() + 5_000;
    while (!isReady() && server.child.exitCode === null && performance.now() < end) await Bun.sleep(5);
    if (isReady()) return server;
    server.child.kill("SIGKILL");
    throw new Error(`the server did not start: ${server.stdout}${await server.stderr}`);
  }

  /** The port of this machine that leads to `port`. */
  portTo(port: number): number {
    const match = new RegExp(`localhost:([0-9]+) of this machine leads to port ${port}\\n`).exec(this.stdout);
    if (match === null) throw new Error(`nothing leads to port ${port}:\n${this.stdout}`);
    return Number(match[1]);
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Sends a signal, and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.child.kill(signal);
    return this.end();
  }

  async end(): Promise<Ended> {
    const exitCode = await this.child.exited;
    await this.reading;
    return { exitCode, stdout: this.stdout, stderr: await this.stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
  }
}
