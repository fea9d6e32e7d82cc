/** Errors that WebGPU reports beside the call that made them; kept so that a test, or a training loop, can stop on them. */
const errors: string[] = [];
const KEPT = 100;

/** Collects and prints what goes wrong on the device: a faulty dispatch throws nothing, its outputs are just zeros. */
export function watchDevice(device: GPUDevice): void {
  device.addEventListener('uncapturederror', (event) => report((event as GPUUncapturedErrorEvent).error.message));
  void device.lost.then((info) => {
    if (info.reason !== 'destroyed') report(`the device was lost: ${info.message}`);
  });
}

/** Keeps and prints an error. */
export function report(message: string): void {
  if (errors.length < KEPT) errors.push(message);
  console.error(`[webgpu] ${message}`);
}

/** The errors since the last call, oldest first (at most 100). They arrive late: read back a tensor first. */
export function takeDeviceErrors(): string[] {
  return errors.splice(0);
}
