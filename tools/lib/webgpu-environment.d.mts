export interface VulkanChoice {
  source: string;
  env: Record<string, string>;
  adapter: { vendor: string; architecture: string; name: string; description: string; isSoftware: boolean };
}
export function choiceFile(): string;
export function storedChoice(): VulkanChoice | null;
export function withWebgpu(env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv;
