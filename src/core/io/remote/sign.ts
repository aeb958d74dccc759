/** The AWS Signature Version 4 of a GET without a body, made by aws4, which is loaded with the first request that is signed. */

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/**
 * Signs a request.
 * @param url  the URL, encoded as it is to be sent
 * @returns the headers that sign the request; `host` is signed too, and any other header may be added
 */
export async function signedHeaders(
  url: string,
  credentials: Credentials,
  region: string,
  now = new Date(),
): Promise<Record<string, string>> {
  const { default: aws4 } = await import("aws4");
  const { host, pathname, search } = new URL(url);
  const date = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const { headers } = aws4.sign(
    { service: "s3", region, host, path: pathname + search, headers: { host, "x-amz-date": date } },
    credentials,
  );
  const { host: _, ...signed } = headers as Record<string, string>;
  return signed;
}
