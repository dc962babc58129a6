import Recipes
import TestSupport
import Testing

@Suite struct RecipeReferenceTests {
    @Test func everyKeyIsDescribed() {
        #expect(RecipeReference.keys.count > 50)
        // Methods of one section may have keys of the same name.
        let names = Set(RecipeReference.keys.map { "\($0.path) \($0.method ?? "")" })
        #expect(names.count == RecipeReference.keys.count)
        for key in RecipeReference.keys {
            #expect(key.summary.hasSuffix(".") && key.summary.count > 10, "\(key.path)")
            #expect(RecipeReference.sections.contains { $0.name == key.section }, "\(key.path)")
        }
    }

    /// What the reference calls a default is what a recipe without the key gets.
    @Test func defaultsAreThoseOfAShortRecipe() throws {
        for key in RecipeReference.keys {
            guard let value = key.defaultValue else { continue }
            let named = key.method?.dropFirst("type: ".count) ?? "lora"
            let text = shortest + "\nadapter: { type: \(key.section == "adapter" ? named : "lora") }"
            let type = key.section == "objective" ? key.method?.dropFirst("type: ".count) : nil
            let isOnline = ["ppo", "grpo", "rloo", "online_dpo"].contains(type)
            let method =
                isOnline
                ? ["objective={type: \(type ?? ""), rewards: {type: json}}"] : ["objective.type=\(type ?? "sft")"]
            let plain = try RecipeReader.read(text: text, file: "r.yaml", overrides: method)
            let written = try RecipeReader.read(
                text: text, file: "r.yaml", overrides: method + ["\(key.path)=\(value)"])
            #expect(written == plain, "\(key.path)")
        }
    }

    @Test func theManualHasALineForEachKey() {
        let lines = RecipeReference.markdown.split(separator: "\n")
        for key in RecipeReference.keys {
            #expect(lines.contains { $0.hasPrefix("| `\(key.name)` ") && $0.contains(key.summary) }, "\(key.path)")
        }
    }
}
