// Command client goes through the life of an access request with Teleport's own Go client, and says what it saw: one line
// a step, with the kind of error that the client makes of the answer. tests/teleport runs it against the real Teleport and
// the simulated one, which have to look the same.
//
// It is built once per line of Teleport's API (go.mod: 14.2.3; go.v17.mod with the build tag v17) by build.sh.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"path/filepath"
	"strings"
	"time"

	"github.com/gravitational/teleport/api/client"
	"github.com/gravitational/teleport/api/client/proto"
	"github.com/gravitational/teleport/api/types"
	"github.com/gravitational/trace"
)

// limit is longer than anything here takes on a busy machine.
const limit = time.Minute

// absent is the id of a request that nobody made.
const absent = "11111111-1111-4111-8111-11111111111f"

// cast is who takes part. Each has an identity file <name>.pem in one folder.
type cast struct {
	addr, dir, role          string
	plugin, requester, admin string
}

// run is one conversation.
type run struct {
	cast
	ctx                      context.Context
	plugin, requester, admin *client.Client
	id                       string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("client: ")
	var cast cast
	flag.StringVar(&cast.addr, "addr", "", "address of Auth or of a Proxy")
	flag.StringVar(&cast.dir, "dir", "", "folder of the identity files")
	flag.StringVar(&cast.role, "role", "", "role to ask for")
	flag.StringVar(&cast.plugin, "plugin", "", "user that reads requests and keeps plugin data")
	flag.StringVar(&cast.requester, "requester", "", "user that asks")
	flag.StringVar(&cast.admin, "admin", "", "user that decides by decree")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	run := run{cast: cast, ctx: ctx}
	run.plugin, run.requester, run.admin = run.dial(cast.plugin), run.dial(cast.requester), run.dial(cast.admin)
	run.cluster()
	events := run.watch()
	run.create(events)
	run.pluginData()
	run.decide(events)
	run.people()
	run.lists()
	run.line()
}

func (r *run) dial(user string) *client.Client {
	identity := client.LoadIdentityFile(filepath.Join(r.dir, user+".pem"))
	client, err := client.New(r.ctx, client.Config{Addrs: []string{r.addr}, Credentials: []client.Credentials{identity}})
	if err != nil {
		log.Fatalf("as %s: %v", user, err)
	}
	return client
}

func (r *run) cluster() {
	pong, err := r.plugin.Ping(r.ctx)
	r.say("Ping", err, pong.ServerVersion)
}

// watch opens a stream on requests, and on a kind that does not exist.
func (r *run) watch() types.Watcher {
	kinds := []types.WatchKind{{Kind: types.KindAccessRequest}, {Kind: "nothing"}}
	watcher, err := r.plugin.NewWatcher(r.ctx, types.Watch{Kinds: kinds, AllowPartialSuccess: true})
	if err != nil {
		log.Fatal(err)
	}
	r.event(watcher)
	strict, err := r.plugin.NewWatcher(r.ctx, types.Watch{Kinds: kinds})
	if err != nil {
		log.Fatal(err)
	}
	r.event(strict)
	return watcher
}

// event says what comes next on a stream. Requests of other conversations are none of this one's business.
func (r *run) event(watcher types.Watcher) {
	for {
		select {
		case event := <-watcher.Events():
			switch resource := event.Resource.(type) {
			case types.WatchStatus:
				var kinds []string
				for _, kind := range resource.GetKinds() {
					kinds = append(kinds, kind.Kind)
				}
				r.say("event "+event.Type.String(), nil, kinds)
			case types.AccessRequest:
				if r.id != "" && resource.GetName() != r.id {
					continue
				}
				r.say("event "+event.Type.String(), nil, resource.GetState(), resource.GetResolveReason())
			default:
				if resource.GetName() != r.id {
					continue
				}
				r.say("event "+event.Type.String(), nil, resource.GetKind())
			}
		case <-watcher.Done():
			r.say("stream", watcher.Error())
		case <-r.ctx.Done():
			log.Fatal("no event in time")
		}
		return
	}
}

func (r *run) create(events types.Watcher) {
	ask := func(step string, client *client.Client, user, role string, change func(types.AccessRequest)) types.AccessRequest {
		request, err := types.NewAccessRequest(absent, user, role)
		if err != nil {
			log.Fatal(err)
		}
		change(request)
		made, err := client.CreateAccessRequestV2(r.ctx, request)
		r.say(step, err)
		return made
	}
	plain := func(types.AccessRequest) {}
	ask("create: unknown role", r.requester, r.cast.requester, "no-such-role", plain)
	ask("create: for another", r.requester, r.cast.admin, r.role, plain)
	ask("create: without a right", r.plugin, r.cast.plugin, r.role, plain)
	ask("create: long reason", r.requester, r.cast.requester, r.role, func(request types.AccessRequest) {
		request.SetRequestReason(strings.Repeat("x", 4097))
	})
	made := ask("create", r.requester, r.cast.requester, r.role, func(request types.AccessRequest) {
		request.SetRequestReason("because <!channel>")
		request.SetSuggestedReviewers([]string{r.cast.admin})
	})
	if made == nil {
		log.Fatal("there is no request to go on with")
	}
	r.id = made.GetName()
	r.say("created", nil, made.GetState(), made.GetRoles(), made.GetRequestReason(), made.GetSuggestedReviewers(),
		made.GetKind(), made.GetVersion(), len(made.GetThresholds()), made.GetSessionTLL().IsZero())
	r.event(events)
	for _, filter := range []types.AccessRequestFilter{
		{ID: r.id}, {ID: r.id, State: types.RequestState_PENDING}, {ID: r.id, State: types.RequestState_APPROVED},
		{ID: r.id, User: "nobody"}, {ID: absent},
	} {
		found, err := r.plugin.GetAccessRequests(r.ctx, filter)
		r.say("list", err, len(found))
	}
}

func (r *run) pluginData() {
	params := types.PluginDataUpdateParams{
		Kind: types.KindAccessRequest, Resource: r.id, Plugin: "slack",
		Set:    map[string]string{"user": "alice", "messages": ""},
		Expect: map[string]string{"user": "", "messages": ""},
	}
	update := func(step string, client *client.Client, change func(*types.PluginDataUpdateParams)) {
		params := params
		change(&params)
		r.say("plugin data: "+step, client.UpdatePluginData(r.ctx, params))
	}
	same := func(*types.PluginDataUpdateParams) {}
	update("write", r.plugin, same)
	update("write against expectations", r.plugin, same)
	update("write beside an odd kind", r.plugin, func(params *types.PluginDataUpdateParams) { params.Kind = types.KindNode })
	update("write beside no request", r.plugin, func(params *types.PluginDataUpdateParams) { params.Resource = absent })
	update("write without a right", r.requester, same)
	found, err := r.plugin.GetPluginData(r.ctx, types.PluginDataFilter{
		Kind: types.KindAccessRequest, Resource: r.id, Plugin: "slack",
	})
	r.say("plugin data: read", err, len(found))
	for _, data := range found {
		r.say("plugin data", nil, data.GetKind(), data.GetSubKind(), data.GetName() == r.id, data.Entries()["slack"].Data)
	}
	_, err = r.requester.GetPluginData(r.ctx, types.PluginDataFilter{Kind: types.KindAccessRequest, Resource: r.id})
	r.say("plugin data: read without a right", err)
}

func (r *run) decide(events types.Watcher) {
	set := func(step string, client *client.Client, id string, state types.RequestState, reason string) {
		update := types.AccessRequestUpdate{RequestID: id, State: state, Reason: reason}
		r.say("decide: "+step, client.SetAccessRequestState(r.ctx, update))
	}
	_, err := r.admin.SubmitAccessReview(r.ctx, types.AccessReviewSubmission{
		RequestID: r.id, Review: types.AccessReview{Author: r.cast.admin, ProposedState: types.RequestState_APPROVED},
	})
	r.say("review without a right", err)
	set("without a right", r.plugin, r.id, types.RequestState_APPROVED, "")
	set("no request", r.admin, absent, types.RequestState_APPROVED, "")
	set("no state", r.admin, r.id, types.RequestState_NONE, "")
	set("promote", r.admin, r.id, types.RequestState_PROMOTED, "")
	set("approve", r.admin, r.id, types.RequestState_APPROVED, "fine")
	r.event(events)
	set("deny", r.admin, r.id, types.RequestState_DENIED, "after all not")
	r.event(events)
	set("approve what is denied", r.admin, r.id, types.RequestState_APPROVED, "")
	r.say("delete without a right", r.requester.DeleteAccessRequest(r.ctx, r.id))
	r.say("delete", r.admin.DeleteAccessRequest(r.ctx, r.id))
	r.event(events)
	r.say("delete again", r.admin.DeleteAccessRequest(r.ctx, r.id))
	r.say("plugin data: write after the request", r.plugin.UpdatePluginData(r.ctx, types.PluginDataUpdateParams{
		Kind: types.KindAccessRequest, Resource: r.id, Plugin: "slack", Set: map[string]string{"resolution": "EXPIRED"},
	}))
}

func (r *run) people() {
	role, err := r.admin.GetRole(r.ctx, r.role)
	if err == nil {
		r.say("role", nil, role.GetName(), role.GetLogins(types.Allow))
	}
	_, err = r.admin.GetRole(r.ctx, "no-such-role")
	r.say("role: unknown", err)
	_, err = r.requester.GetRole(r.ctx, r.role)
	r.say("role: without a right", err)
	roles, err := r.admin.GetRoles(r.ctx)
	r.say("roles", err, len(roles) > 0)
	_, err = r.requester.GetRoles(r.ctx)
	r.say("roles: without a right", err)
	user, err := r.requester.GetCurrentUser(r.ctx)
	if err == nil {
		r.say("current user", nil, user.GetName() == r.cast.requester)
	}
	own, err := r.requester.GetCurrentUserRoles(r.ctx)
	r.say("current user's roles", err, len(own))
	_, err = r.admin.UserLoginStateClient().GetUserLoginState(r.ctx, r.cast.requester)
	r.say("login state: without a right", err)
}

func (r *run) lists() {
	lists, _, err := r.plugin.AccessListClient().ListAccessLists(r.ctx, 0, "")
	r.say("access lists", err)
	for _, list := range lists {
		r.say("access list", nil, list.GetName(), list.Spec.Title, list.Spec.Owners[0].Name, list.Spec.Grants.Roles)
	}
	_, err = r.plugin.ListResources(r.ctx, proto.ListResourcesRequest{ResourceType: "nothing", Limit: 10})
	r.say("resources: odd kind", err)
	_, err = r.plugin.ListResources(r.ctx, proto.ListResourcesRequest{
		ResourceType: types.KindNode, Limit: 10, PredicateExpression: `resource.metadata.name == "a" || resource.metadata.name == "b"`,
		UseSearchAsRoles: true, UsePreviewAsRoles: true,
	})
	r.say("resources", err)
}

// say writes a line: the step, what kind of error came of it, its text, and what else was seen.
func (r *run) say(step string, err error, seen ...any) {
	line := []string{step + ":", kind(err)}
	if err != nil {
		line = append(line, trace.UserMessage(err))
		seen = nil
	}
	for _, item := range seen {
		line = append(line, fmt.Sprint(item))
	}
	text := strings.Join(line, " ")
	if r.id != "" {
		text = strings.ReplaceAll(text, r.id, "<id>")
	}
	fmt.Println(text)
}

func kind(err error) string {
	for _, kind := range []struct {
		name string
		is   func(error) bool
	}{
		{"NotFound", trace.IsNotFound},
		{"AlreadyExists", trace.IsAlreadyExists},
		{"AccessDenied", trace.IsAccessDenied},
		{"BadParameter", trace.IsBadParameter},
		{"CompareFailed", trace.IsCompareFailed},
		{"LimitExceeded", trace.IsLimitExceeded},
		{"NotImplemented", trace.IsNotImplemented},
		{"ConnectionProblem", trace.IsConnectionProblem},
	} {
		if err != nil && kind.is(err) {
			return kind.name
		}
	}
	if err != nil {
		return fmt.Sprintf("%T", trace.Unwrap(err))
	}
	return "ok"
}
