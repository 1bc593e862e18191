// Package storetest has the tests that every store must pass, and faults that a test can order. It is for tests alone.
package storetest

import "testing"

// Run checks the contract of store.Store. fresh gives the opener of a store that no other call has seen.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"GetReturnsWhatPutStored":            getReturnsWhatPutStored,
		"PutReplacesAndCountsVersions":       putReplacesAndCountsVersions,
		"SameContentChangesNoMember":         sameContentChangesNoMember,
		"ReadOnlyMembersAreCompared":         readOnlyMembersAreCompared,
		"InvalidInputChangesNothing":         invalidInputChangesNothing,
		"DeleteRemovesOnce":                  deleteRemovesOnce,
		"ListPagesInOrder":                   listPagesInOrder,
		"ListWalksPastChanges":               listWalksPastChanges,
		"ListFilters":                        listFilters,
		"ListWalksAmongWriters":              listWalksAmongWriters,
		"GetManyKeepsTheOrderAsked":          getManyKeepsTheOrderAsked,
		"PreconditionsDecide":                preconditionsDecide,
		"UpdateChangesWhatIsThere":           updateChangesWhatIsThere,
		"UpdateThatFailsChangesNothing":      updateThatFailsChangesNothing,
		"UpdateUnderAKeyHappensOnce":         updateUnderAKeyHappensOnce,
		"WriteUnderAKeyHappensOnce":          writeUnderAKeyHappensOnce,
		"RefusedWriteLeavesItsKeyFree":       refusedWriteLeavesItsKeyFree,
		"AnswersAreKeptForTheirTime":         answersAreKeptForTheirTime,
		"OneOfManyWinsEachVersion":           oneOfManyWinsEachVersion,
		"OneOfManyWritesUnderAKey":           oneOfManyWritesUnderAKey,
		"ImportKeepsWhatItIsGiven":           importKeepsWhatItIsGiven,
		"ImportReplacesUpwards":              importReplacesUpwards,
		"ImportIsAllOrNothing":               importIsAllOrNothing,
		"ImportStoresOneIDInItsOrder":        importStoresOneIDInItsOrder,
		"ResultsShareNoMemory":               resultsShareNoMemory,
		"SeedFillsOnlyANewStore":             seedFillsOnlyANewStore,
		"SeedLeavesAStoreInUseAlone":         seedLeavesAStoreInUseAlone,
		"ParallelWritersLoseNothing":         parallelWritersLoseNothing,
		"CancelledCallsChangeNothing":        cancelledCallsChangeNothing,
		"AfterReopeningEverythingIsThere":    afterReopeningEverythingIsThere,
		"ClosedStoreIsUnavailable":           closedStoreIsUnavailable,
		"CloseDuringWritesLosesNothingAcked": closeDuringWritesLosesNothingAcked,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}
