import Files
import Recipes
import TestSupport
import Testing

/// The adapter that is committed as a sample does what its own run says.
@Suite(.enabled(if: Locations.model != nil, "needs Models/SmolLM2-135M-Instruct.gguf (make model)"))
struct SampleAdapterTests {
    private static let folder = Locations.inRepository("Adapters/lantern-keeper")

    @Test func itMakesOurConversationsMoreLikely() throws {
        let rows = try TemporaryFolder()
        let conversations = try String(
            decoding: ByteSource(Locations.inRepository("Datasets/chat/data.jsonl")).readAll(), as: UTF8.self)
        let data = try rows.write(
            conversations.split(separator: "\n").prefix(8).joined(separator: "\n"), to: "rows.jsonl")
        let model = try ModelSettings(path: #require(Locations.model), precision: nil, weights: nil)
        var notes: [String] = []
        let comparison = try Commands.compare(
            model, adapter: Self.folder, options: ScoringOptions(data: data)
        ) { if case .note(let note) = $0 { notes.append(note) } }
        let adapted = try #require(comparison.entries.first)
        // Its run took the perplexity of held-out rows from 66 to 28: 0.85 nats a token.
        #expect(adapted.difference < -0.5)
        #expect(comparison.base.perplexity > 1.6 * adapted.result.perplexity)
        // No remark: the base is the one it was trained on, stored as it was then.
        #expect(notes.isEmpty)
    }

    @Test func itsRecordSaysHowItWasMade() throws {
        let recipe = try RecipeReader.read(Self.folder + "/recipe.resolved.yaml")
        let evaluations = try JSON(contentsOf: Self.folder + "/evaluation.json")
        let (before, after) = (evaluations["before"]?["nll"]?.number, evaluations["after"]?["nll"]?.number)
        #expect(recipe.dataset.train.map(\.path) == ["Datasets/chat/data.jsonl"])
        #expect(try #require(after) < #require(before))
    }
}
