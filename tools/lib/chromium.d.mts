export const CHROMIUM_FLAGS: string[];
export function chromium(log?: (line: string) => void): Promise<{ executablePath: string; env: Record<string, string> }>;
