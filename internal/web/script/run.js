export function runPage() {}
