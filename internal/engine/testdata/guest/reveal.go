package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	flawless "github.com/flawless-engine/flawless/sdk/go"
)

// reveal sends credentials in every header that has such, and in URLs, and fails with them. The token
// is that of the input read backwards, so that the log has it nowhere else.
func reveal(ctx context.Context, in struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}) (string, error) {
	letters := []byte(in.Token)
	slices.Reverse(letters)
	token := string(letters)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+token))
	r, err := flawless.Do(ctx, flawless.Request{Method: "POST", URL: in.URL + "/a?b=1&api_key=" + token, Header: flawless.Header{
		{"Authorization", "Bearer " + token}, {"proxy-authorization", basic}, {"Cookie", "sid=" + token + "; tz=" + token}, {"X-Api-Key", token}}})
	if err != nil {
		return "", err
	}
	cookie, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
	if _, err := flawless.Do(ctx, flawless.Request{URL: in.URL + "/b", Header: flawless.Header{{"Cookie", cookie}}}); err != nil {
		return "", err
	}
	user := strings.Replace(in.URL, "://", "://ann:"+token+"@", 1)
	slog.Warn("going to "+user, "url", user)
	_, bad := flawless.Get(ctx, user)
	_, worse := flawless.Get(ctx, strings.Replace(in.URL, "://", "://ann:/"+token+"@", 1))
	_, err = flawless.Do(ctx, flawless.Request{Method: "POST", URL: in.URL + "/hold", Header: flawless.Header{{"Authorization", basic}}})
	return "", fmt.Errorf("%v, %v, %v; was going to %s", bad, worse, err, user)
}
