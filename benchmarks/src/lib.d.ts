// The set-up scripts are plain JavaScript.
declare module '*/webgpu-environment.mjs' {
  export function withWebgpu(env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
}
