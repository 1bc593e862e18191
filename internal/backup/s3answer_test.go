package backup

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const listHead = `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>backups</Name>`

func listed(size int, names ...string) (text string) {
	for _, name := range names {
		text += fmt.Sprintf("<Contents><Key>%s</Key><Size>%d</Size></Contents>", name, size)
	}
	return text
}

// TestListThatIsCutAndRetriedHasEachBackupOnce: what was read twice would count twice, and whole backups within
// backup.keep would be removed.
func TestListThatIsCutAndRetriedHasEachBackupOnce(t *testing.T) {
	first, second, asked := NameOf(time.Now(), 1), NameOf(time.Now(), 2), 0
	b := against(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprint(w, listHead, listed(7, first, second))
		if asked > 1 {
			fmt.Fprint(w, "</ListBucketResult>")
		}
	})
	if list, err := b.List(t.Context()); err != nil || len(list) != 2 || asked != 2 {
		t.Errorf("asked %d times, List gives %v, %v", asked, list, err)
	}
}

// TestListWithoutItsEndIsAnError: a server that does not know the parameter gives the first page for ever, and each
// would be kept in memory.
func TestListWithoutItsEndIsAnError(t *testing.T) {
	for _, token := range []string{"", "<NextContinuationToken>next</NextContinuationToken>"} {
		asked := 0
		b := against(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			fmt.Fprint(w, listHead, "<IsTruncated>true</IsTruncated>", token, listed(7, NameOf(time.Now(), 1)), "</ListBucketResult>")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if list, err := b.List(ctx); err == nil || !strings.Contains(err.Error(), "the list goes on") || asked > 2 {
			t.Errorf("asked %d times, List gives %d, %v", asked, len(list), err)
		}
	}
}

// TestPageOfAConsoleIsNoListAndStoresNothing: a console or a proxy answers 200 to anything.
func TestPageOfAConsoleIsNoListAndStoresNothing(t *testing.T) {
	b := against(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html><body>Log in</body></html>") })
	if list, err := b.List(t.Context()); err == nil || !strings.Contains(err.Error(), "backup.s3.endpoint") {
		t.Errorf("List gives %v, %v", list, err)
	}
	if err := b.Put(t.Context(), NameOf(time.Now(), 1), sized(t, 7)); err == nil {
		t.Error("Put takes the page for a stored backup")
	}
}

func TestBackupThatIsNotThereOrCutAfterItWasStoredIsAnError(t *testing.T) {
	name, answer := NameOf(time.Now(), 1), ""
	b := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, listHead, answer, "</ListBucketResult>")
		}
	})
	for _, answer = range []string{"", listed(6, name), listed(7, NameOf(time.Now(), 2))} {
		if err := b.Put(t.Context(), name, sized(t, 7)); err == nil || !strings.Contains(err.Error(), name+" is not there after it was stored") {
			t.Errorf("with %q Put says %v", answer, err)
		}
	}
	answer = listed(7, name)
	if err := b.Put(t.Context(), name, sized(t, 7)); err != nil {
		t.Error(err)
	}
}
