import type { DeviceEvent } from "../../src/device.ts";
import type { LinkListener, LinkMonitor } from "./link-monitor.ts";
import { Readiness } from "./readiness.ts";

/** What befalls a device: its monitor hears of it from the kernel, and the program is told. */
export class DeviceEvents {
  /** How many the program was told. */
  told = 0;
  private readonly monitor: LinkMonitor;
  private readonly listener: LinkListener;
  private readonly news: Readiness;
  private callback: ((event: DeviceEvent) => void) | null = null;

  /** `listener` hears the monitor's news from the event loop, from the first `watch` on. */
  constructor(monitor: LinkMonitor, listener: LinkListener) {
    this.monitor = monitor;
    this.listener = listener;
    this.news = new Readiness(monitor.descriptor);
  }

  /** The program wants to be told. */
  listen(callback: (event: DeviceEvent) => void): void {
    this.callback = callback;
    // In a worker, which signals do not reach, `wait` brings the news.
    if (Bun.isMainThread) this.watch();
  }

  watch(): void {
    const isBackground = true;
    this.news.watch(() => {
      this.monitor.look(this.listener);
      this.news.rest();
    }, isBackground);
  }

  emit(event: DeviceEvent): void {
    if (this.callback === null) return;
    this.told++;
    this.callback(event);
  }

  /** Before the monitor is closed. */
  close(): void {
    this.callback = null;
    this.news.close();
  }
}
