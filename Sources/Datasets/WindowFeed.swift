import Dispatch
import Synchronization

/// What a stream hands over: the next examples of an epoch, or its end.
enum StreamWindow: Sendable {
    /// Up to a window of examples, in the files' order, and what became of the rows read for them.
    case examples([Example], DatasetStatistics)
    /// Every source has been read once more.
    case endOfEpoch
}

/// Reads and tokenises sources over and over on a thread of its own, one window ahead of whoever takes them.
final class WindowFeed: Sendable {
    private struct State {
        var window: Result<StreamWindow, any Error>?
        var stopped = false
    }
    private let state = Mutex(State())
    private let filled = DispatchSemaphore(value: 0)
    // Starts at 0 and is signalled once: Dispatch objects to one that goes away below the value it was made with.
    private let emptied = DispatchSemaphore(value: 0)

    /// Starts reading; `readers` are read in order, epoch after epoch.
    func start(_ readers: [SourceReader]) {
        emptied.signal()
        DispatchQueue(label: "graft.stream").async {
            do {
                while try self.readEpoch(readers) {}
            } catch {
                _ = self.put(.failure(error))
            }
        }
    }

    /// The next window. After an error has been thrown there is none.
    func next() throws -> StreamWindow {
        filled.wait()
        let window = state.withLock { $0.window.take() }
        emptied.signal()
        guard let window else { preconditionFailure("a window was announced and is not there") }
        return try window.get()
    }

    /// Ends the reading.
    func stop() {
        state.withLock { $0.stopped = true }
        emptied.signal()
    }

    /// Waits until the last window has been taken; false once reading should end.
    private func put(_ window: Result<StreamWindow, any Error>) -> Bool {
        emptied.wait()
        let goOn = state.withLock { state in
            state.window = window
            return !state.stopped
        }
        filled.signal()
        return goOn
    }

    private func readEpoch(_ readers: [SourceReader]) throws -> Bool {
        var pending: [Example] = []
        var statistics = DatasetStatistics()
        func handOver(_ count: Int) -> Bool {
            let window = StreamWindow.examples(Array(pending.prefix(count)), statistics)
            pending.removeFirst(min(count, pending.count))
            statistics = DatasetStatistics()
            return put(.success(window))
        }
        var rows = 0
        var goOn = true
        for reader in readers where goOn {
            try reader.forEachChunk { results in
                for result in results {
                    rows += result.examples.count
                    statistics += result.statistics
                    pending += result.examples
                }
                while goOn, pending.count >= Packing.window { goOn = handOver(Packing.window) }
                return goOn
            }
        }
        guard goOn else { return false }
        // Without this an epoch of nothing would be read for ever.
        guard rows > 0 else { throw StreamedBatches.nothingToTrain(readers) }
        return (pending.isEmpty || handOver(pending.count)) && put(.success(.endOfEpoch))
    }
}
